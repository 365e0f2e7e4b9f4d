"""Networks of given parameters: the first lessons, exactly, and any network against the formula."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nncore.errors import InvalidData, InvalidSpec
from nncore.evaluate import evaluate
from nncore.layers import LayerSpec
from nncore.machine import forward
from nncore.network import NetworkSpec


def network(*layers: dict[str, Any]) -> NetworkSpec:
    return NetworkSpec.model_validate({"layers": list(layers)})


def dense(weight: list[list[float]], activation: str = "linear", **given: Any) -> dict[str, Any]:
    return {"type": "dense", "units": len(weight), "activation": activation, "weight": weight, **given}


@pytest.mark.parametrize("given", [{"threshold": [6]}, {"bias": [-6]}])
def test_going_to_the_concert(given):
    answer = evaluate(network(dense([[1, 4, 3]], "step", **given)), [[0, 1, 1]])
    assert answer == {
        "outputs": [[1.0]],
        "layers": [{"weighted_sums": [[7.0]], "pre_activations": [[1.0]], "activations": [[1.0]], "contributions": [[[0.0, 4.0, 3.0]]]}],
    }


def test_every_decision_about_the_concert_is_the_comparison_with_the_threshold():
    rows = [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    answer = evaluate(network(dense([[1, 4, 3]], "step", threshold=[6])), rows)
    assert answer["outputs"] == [[float(a + 4 * b + 3 * c > 6)] for a, b, c in rows]


def test_at_exactly_the_threshold_a_step_neuron_stays_silent():
    neuron = network(dense([[1]], "step", threshold=[3]))
    assert evaluate(neuron, [[3], [math.nextafter(3, 4)], [math.nextafter(3, 2)]])["outputs"] == [[0.0], [1.0], [0.0]]


def test_three_through_four_sigmoid_layers():
    expected, x = [], 3.0
    for _ in range(4):
        x = 1 / (1 + math.exp(-x))
        expected.append(x)
    answer = evaluate(network(*[dense([[1]], "sigmoid", bias=[0])] * 4), [[3]])
    assert [layer["activations"] for layer in answer["layers"]] == [[[pytest.approx(y, abs=1e-16)]] for y in expected]
    assert answer["outputs"][0][0] == pytest.approx(0.66216707, abs=1e-8)


def test_the_xor_network_of_the_deep_learning_book():
    """Goodfellow, Bengio, Courville, Deep Learning (2016), 6.1."""
    xor = network(dense([[1, 1], [1, 1]], "relu", bias=[0, -1]), dense([[1, -2]], bias=[0]))
    answer = evaluate(xor, [[0, 0], [0, 1], [1, 0], [1, 1]])
    assert answer["outputs"] == [[0.0], [1.0], [1.0], [0.0]]
    assert answer["layers"][0]["activations"] == [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 1.0]]


def test_only_the_first_layer_with_weights_tells_its_contributions():
    answer = evaluate(network({"type": "dropout", "rate": 0.5}, dense([[2.0, 0.0]]), dense([[1.0]])), [[3, -4]])
    assert [sorted(layer) for layer in answer["layers"]] == [
        ["activations"],
        ["activations", "contributions", "pre_activations", "weighted_sums"],
        ["activations", "pre_activations", "weighted_sums"],
    ]
    assert answer["layers"][0]["activations"] == [[3.0, -4.0]]
    assert answer["outputs"] == [[6.0]]


def test_items_of_several_dimensions_are_laid_out_by_a_flatten_layer():
    assert evaluate(network({"type": "flatten"}, dense([[1, 10, 100, 1000]])), [[[1, 2], [3, 4]]])["outputs"] == [[4321.0]]


def test_a_negative_weight_on_nothing_contributes_nothing():
    assert str(evaluate(network(dense([[-1.0]])), [[0]])["layers"][0]["contributions"]) == "[[[0.0]]]"


ACTIVATIONS = {
    "linear": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "step": lambda z: np.heaviside(z, 0),
}
small = st.floats(-4, 4, width=32)


@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_any_network_answers_what_the_formula_says(data, rows, inputs, hidden, outputs):
    draw = lambda *shape: data.draw(arrays.arrays(np.float64, shape, elements=small))  # noqa: E731
    x, w1, b1, w2, t2 = draw(rows, inputs), draw(hidden, inputs), draw(hidden), draw(outputs, hidden), draw(outputs)
    first, second = data.draw(st.sampled_from(sorted(ACTIVATIONS))), data.draw(st.sampled_from(sorted(ACTIVATIONS)))
    answer = evaluate(network(dense(w1.tolist(), first, bias=b1.tolist()), dense(w2.tolist(), second, threshold=t2.tolist())), x.tolist())

    layers = [{name: np.array(values) for name, values in layer.items()} for layer in answer["layers"]]
    assert np.allclose(layers[0]["weighted_sums"], x @ w1.T, rtol=1e-12, atol=1e-12)
    assert np.array_equal(layers[0]["contributions"], w1[None] * x[:, None])
    assert np.array_equal(layers[0]["pre_activations"], layers[0]["weighted_sums"] + b1)
    assert np.allclose(layers[0]["activations"], ACTIVATIONS[first](layers[0]["pre_activations"]), rtol=1e-12)
    assert np.allclose(layers[1]["weighted_sums"], layers[0]["activations"] @ w2.T, rtol=1e-12, atol=1e-12)
    assert np.array_equal(layers[1]["pre_activations"], layers[1]["weighted_sums"] - t2)
    assert np.allclose(layers[1]["activations"], ACTIVATIONS[second](layers[1]["pre_activations"]), rtol=1e-12)
    assert answer["outputs"] == answer["layers"][1]["activations"]


def test_large_pre_activations_saturate_without_overflow():
    assert evaluate(network(dense([[1], [-1]], "sigmoid")), [[1000]])["outputs"] == [[1.0, 0.0]]
    assert evaluate(network(dense([[1], [-1]], "softmax")), [[1000]])["outputs"] == [[1.0, 0.0]]


def test_missing_weights_are_named_all_at_once():
    with pytest.raises(InvalidSpec) as caught:
        evaluate(network({"type": "dense", "units": 2}, {"type": "dropout", "rate": 0.1}, {"type": "dense", "units": 1}), [[1]])
    assert [fault.pointer for fault in caught.value.faults] == ["/network/layers/0/weight", "/network/layers/2/weight"]


def test_weights_that_do_not_fit_the_inputs_are_named():
    with pytest.raises(InvalidSpec) as caught:
        evaluate(network(dense([[1, 2, 3]])), [[1, 2]])
    assert [fault.pointer for fault in caught.value.faults] == ["/network/layers/0/weight"]


@pytest.mark.parametrize(
    ("inputs", "pointers"),
    [
        ([], ["/inputs"]),
        (3, ["/inputs"]),
        ([1, 2], ["/inputs/0"]),
        ([[]], ["/inputs/0"]),
        ([[1, 2], [3], [4, 5], 6], ["/inputs/1", "/inputs/3"]),
        ([[1, "a"], [True, 2], [None, 10**400]], ["/inputs/0/1", "/inputs/1/0", "/inputs/2/0", "/inputs/2/1"]),
        ([[1, float("nan")], [float("inf"), 1]], ["/inputs/0/1", "/inputs/1/0"]),
        ([[1e308, 1e308]], ["/inputs/0"]),
        ([[0.0] * 3000, *[[]] * 3000], ["/inputs"]),
    ],
)
def test_inputs_that_cannot_be_evaluated_are_named(inputs, pointers):
    with pytest.raises(InvalidData) as caught:
        evaluate(network(dense([[10, 10]])), inputs)
    assert [fault.pointer for fault in caught.value.faults] == pointers


def test_an_answer_too_large_to_send_is_refused_before_it_is_computed():
    wide = network(dense([[1.0] * 1000] * 1000))
    with pytest.raises(InvalidData, match="got 10,030,000"):
        evaluate(wide, [[0.0] * 1000] * 10)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3),
)


@given(json_values)
def test_any_json_as_inputs_is_answered_or_invalid(inputs):
    try:
        answer = evaluate(network({"type": "flatten"}, dense([[1.0, 2.0]], "sigmoid")), inputs)
    except (InvalidData, InvalidSpec):
        return
    assert np.isfinite(answer["outputs"]).all()


# Networks of every kind of layer, with weights to be filled in, and the shape of an item.
NETWORKS = {
    "picture": (
        [
            {"type": "conv2d", "filters": 2, "kernel_size": 2, "activation": "relu"},
            {"type": "batch_norm"},
            {"type": "max_pool", "kernel_size": 2},
            {"type": "average_pool", "kernel_size": 2, "padding": 1, "stride": 1},
            {"type": "global_pool", "kind": "max"},
        ],
        (1, 5, 5),
    ),
    "sequence": (
        [
            {"type": "lstm", "units": 2, "output": "all"},
            {"type": "layer_norm"},
            {"type": "gru", "units": 2, "output": "all", "bidirectional": True},
            {"type": "rnn", "units": 2, "output": "all"},
            {"type": "reshape", "shape": [2, 4]},
            {"type": "conv1d", "filters": 2, "kernel_size": 2, "activation": "softplus"},
            {"type": "flatten"},
        ],
        (4, 2),
    ),
    "words": ([{"type": "embedding", "vocabulary": 6, "dimensions": 3, "padding_index": 0}, {"type": "mean_over_sequence"}], (4,)),
    "compositions": (
        [
            {"type": "dropout", "rate": 0.5},
            {"type": "residual", "layers": [{"type": "dense", "units": 3, "activation": "gelu"}]},
            {"type": "parallel", "branches": [[], [{"type": "dense", "units": 2, "activation": "selu"}]]},
            {"type": "activation", "activation": "softmax"},
        ],
        (3,),
    ),
}


def filled(layers: Any, values: dict[str, np.ndarray], at: str = "") -> list[dict[str, Any]]:
    """The layers with parameters by name, as a file of a trained network has them, given."""
    found, number = [], 0
    for layer in layers:
        name, content = f"{at}{number}.", layer.model_dump(exclude_none=True)
        for field in layer.given_names:
            if f"{name}{field}" in values:
                content[field] = values[f"{name}{field}"].tolist()
            elif f"{name}{field}_l0" in values:
                directions = [
                    values[f"{name}{field}_l0{suffix}"].tolist() for suffix in ("", "_reverse") if f"{name}{field}_l0{suffix}" in values
                ]
                content[field] = directions if len(directions) > 1 else directions[0]
        if layer.type == "residual":
            content["layers"] = filled(layer.layers, values, f"{name}layers.")
        if layer.type == "parallel":
            content["branches"] = [filled(branch, values, f"{name}branches.{n}.") for n, branch in enumerate(layer.branches)]
        number += (
            2
            if layer.type == "global_pool" or ("activation" in content and content["activation"] != "linear" and layer.type != "activation")
            else 1
        )
        found.append(content)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_computes_what_it_does_in_use(name, one_step):
    layers, shape = NETWORKS[name]
    step = one_step([*layers, {"type": "flatten"}], "mean_squared_error", input_shape=shape, rows=7)
    step.machine.learned[:] = np.random.default_rng(5).uniform(0.1, 1, step.machine.learned.size)
    at, values = 0, {}
    for info in step.network.parameters(shape):
        values[info.name] = step.machine.learned[at : at + int(np.prod(info.shape))].reshape(info.shape)
        at += values[info.name].size
    answer = evaluate(network(*filled(step.network.layers, values)), step.inputs.tolist())
    np.testing.assert_allclose(answer["outputs"], step.evaluated()[1], rtol=1e-12, atol=1e-15)
    shapes = step.network.shapes(shape)[1:]
    assert [np.shape(layer["activations"]) for layer in answer["layers"]] == [(7, *shape) for shape in shapes]
    assert all(sorted(told) == ["activations"] for told in answer["layers"])


def test_every_layer_is_among_them():
    named = {layer["type"] for layers, _ in NETWORKS.values() for layer in layers} | {"dense"}
    assert named == {spec.model_fields["type"].default for spec in get_args(get_args(LayerSpec)[0])}


def test_rows_beyond_a_block_are_computed_in_turn(monkeypatch):
    rows = np.random.default_rng(1).standard_normal((50, 3)).tolist()
    layers = network(dense([[1.0, -2.0, 0.5]], "tanh"), {"type": "layer_norm"})
    whole = evaluate(layers, rows)
    monkeypatch.setattr(forward, "BLOCK_NUMBERS", 100)
    assert evaluate(layers, rows) == whole


def test_what_a_normalisation_starts_with_need_not_be_given():
    answer = evaluate(network({"type": "batch_norm", "epsilon": 1e-12}, {"type": "layer_norm"}), [[1.0, 3.0]])
    np.testing.assert_allclose(answer["layers"][0]["activations"], [[1, 3]])
    np.testing.assert_allclose(answer["outputs"], [[-1, 1]], rtol=1e-5)


def test_missing_weights_within_other_layers_are_named():
    inner = [{"type": "dense", "units": 1}, {"type": "reshape", "shape": [1, 1]}, {"type": "lstm", "units": 1}]
    with pytest.raises(InvalidSpec) as caught:
        evaluate(network({"type": "residual", "layers": inner}), [[1]])
    at = "/network/layers/0/layers"
    assert [fault.pointer for fault in caught.value.faults] == [f"{at}/0/weight", f"{at}/2/weight_ih", f"{at}/2/weight_hh"]


def test_unknown_tokens_are_refused_naming_the_row():
    words = network({"type": "embedding", "vocabulary": 2, "dimensions": 1, "weight": [[1.0], [2.0]]})
    with pytest.raises(InvalidData) as caught:
        evaluate(words, [[0, 1], [1, 2]])
    assert [fault.pointer for fault in caught.value.faults] == ["/inputs/1"]


def test_a_layer_that_needs_more_memory_than_its_outputs_is_refused_before_any_is_taken():
    fields = {"kernel_size": 1, "stride": 2**20, "padding": 2**20, "filters": 1, "weight": [[[[1.0]]]]}
    with pytest.raises(InvalidSpec, match="use less padding"):
        evaluate(network({"type": "conv2d", **fields}), [[[[1.0]]]])


def test_booleans_are_one_and_zero_as_in_a_column_of_data() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 1, "weight": [[3, 5]]}]})
    assert evaluate(network, [[True, False], [True, True]])["outputs"] == [[3], [8]]
    for mixed in ([[True, 2]], [[True, False], [0, 1]]):
        with pytest.raises(InvalidData, match="expected true or false, as in row 1, got "):
            evaluate(network, mixed)
