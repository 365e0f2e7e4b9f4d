"""Resolving: the defaults that are written in, the sizes that are computed, and everything that is refused, at once."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore.data import TrainingData
from nncore.errors import Fault, InvalidSpec
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, read_spec, resolve
from nncore.table import Table
from nncore.table.json import read_columns

TABLE = read_columns(
    {
        "x": [[0, 0], [0, 1], [1, 0], [1, 1]],
        "size": [0.5, 1, 2, 3],
        "bit": [0, 1, 1, 0],
        "count": [0, 1, 2, 2],
        "below": [-1, 0, 1, 2],
        "name": ["a", "b", "a", "b"],
        "color": ["red", "green", "blue", "red"],
        "same": ["k", "k", "k", "k"],
        "large": [1e100, 0, 0, 0],
        "picture": [[[1, 2, 3], [4, 5, 6]]] * 4,
    }
)
UNSAID = dict.fromkeys(("weight", "bias", "threshold", "initialiser", "bias_initialiser"))
WITH_TEXT = Table(TABLE[name] for name in ("x", "name", "bit"))
BASE = {"inputs": ["x"], "target": "bit", "network": [1]}


def dense(units: int, **fields: Any) -> dict[str, Any]:
    return {"type": "dense", "units": units, **fields}


def resolved(table: Table = TABLE, limits: Limits = Limits(), **fields: Any) -> ResolvedSpec:  # noqa: B008 (frozen)
    asked = {**BASE, **fields}
    layers = [dense(layer) if isinstance(layer, int) else layer for layer in asked["network"]]
    return resolve(TrainingSpec.model_validate({**asked, "network": {"layers": layers}}), table.info(), table.rows, limits)


def refused(**fields: Any) -> dict[str, str]:
    """pointer -> message of all faults."""
    with pytest.raises(InvalidSpec) as caught:
        resolved(**fields)
    return {fault.pointer: fault.message for fault in caught.value.faults}


def test_every_default_is_written_in():
    spec = resolved(network=[{"type": "dense", "units": 3, "activation": "tanh"}, 1], inputs=None, target="bit", table=numbers_only())
    content = json.loads(spec.model_dump_json())
    seed = content.pop("seed")
    assert 0 <= seed < 2**31
    sizes = content.pop("sizes")
    assert content == {
        "network": {
            "layers": [
                {"type": "dense", "units": 3, "activation": "tanh", "use_bias": True, **UNSAID},
                {"type": "dense", "units": 1, "activation": "linear", "use_bias": True, **UNSAID},
            ]
        },
        "inputs": ["x", "size"],
        "target": "bit",
        "loss": {"type": "binary_cross_entropy", "class_weights": None},
        "optimizer": {
            "type": "adam",
            "learning_rate": 0.001,
            "schedule": {"type": "constant", "warmup_steps": 0},
            "l1": 0.0,
            "l2": 0.0,
            "decay_biases": False,
            "clip_norm": None,
            "clip_value": None,
            "average_decay": None,
            "maximize": False,
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-8,
            "epsilon_mode": "torch",
        },
        "batch_size": 4,
        "epochs": 10,
        "accumulate": 1,
        "max_seconds": None,
        "sample_weight": None,
        "early_stopping": None,
        "shuffle": True,
        "dtype": "float32",
        "validation": None,
        **dict.fromkeys(("test", "fold", "group", "split_column")),
        "preprocess": [],
        "preprocess_target": None,
        "augment": [],
        "report_every_steps": None,
        "diagnostics": False,
        "metrics": ["accuracy"],
        "found": [],
        "item_shapes": [[2], []],
        "input_shape": [3],
        "output_shape": [1],
        "classes": ["0", "1"],
    }
    assert sizes.pop("memory_bytes") > 4 * (3 * (3 * 3 + 3 + 3 + 1))
    assert sizes == {
        "rows": 4,
        "training_rows": 4,
        "validation_rows": 0,
        "steps_per_epoch": 1,
        "steps": 10,
        "parameters": 16,
        "test_rows": 0,
    }


def numbers_only() -> Table:
    return Table(column for column in TABLE.columns if column.name in ("x", "size", "bit"))


def test_a_resolved_spec_survives_the_database():
    spec = resolved(validation={}, preprocess=[{"type": "standardize"}], metrics=["accuracy"], seed=3)
    assert ResolvedSpec.model_validate(json.loads(spec.model_dump_json())) == spec


def test_a_seed_is_drawn_anew_and_kept_where_given():
    assert len({resolved().seed for _ in range(5)}) > 1
    assert resolved(seed=0).seed == 0


@pytest.mark.parametrize(
    ("target", "units", "loss", "classes", "metrics"),
    [
        ("bit", 1, "binary_cross_entropy", ["0", "1"], ["accuracy"]),
        ("bit", 2, "softmax_cross_entropy", ["0", "1"], ["accuracy"]),
        ("name", 1, "binary_cross_entropy", ["a", "b"], ["accuracy"]),
        ("name", 2, "softmax_cross_entropy", ["a", "b"], ["accuracy"]),
        ("color", 3, "softmax_cross_entropy", ["blue", "green", "red"], ["accuracy"]),
        ("count", 3, "softmax_cross_entropy", ["0", "1", "2"], ["accuracy"]),
        ("count", 5, "softmax_cross_entropy", ["0", "1", "2", "3", "4"], ["accuracy"]),
        ("count", 1, "mean_squared_error", None, []),
        ("size", 1, "mean_squared_error", None, []),
        ("below", 1, "mean_squared_error", None, []),
    ],
)
def test_the_target_chooses_the_loss(target, units, loss, classes, metrics):
    spec = resolved(target=target, network=[units])
    assert (spec.loss.type, spec.classes, spec.metrics) == (loss, classes, metrics)


def test_several_numbers_per_row_are_a_target_for_as_many_outputs():
    spec = resolved(inputs=["size"], target="x", network=[2])
    assert (spec.loss.type, spec.output_shape, spec.metrics) == ("mean_squared_error", [2], [])
    asked = resolved(inputs=["size"], target="x", network=[2], loss={"type": "binary_cross_entropy"}, metrics=["accuracy"])
    assert (asked.classes, asked.metrics) == (None, ["accuracy"])


def test_a_single_column_keeps_its_shape_unless_a_dense_layer_takes_it():
    assert resolved(inputs=["picture"]).input_shape == [6]
    assert resolved(inputs=["picture"], network=[{"type": "flatten"}, 1]).input_shape == [2, 3]
    assert resolved(inputs=["picture", "size", "x"]).input_shape == [9]


def test_validation_is_stratified_for_classes_only_and_sizes_follow():
    spec = resolved(validation={"fraction": 0.4}, batch_size=1, epochs=3)
    assert spec.validation.stratified is True
    assert (spec.sizes.training_rows, spec.sizes.validation_rows, spec.sizes.steps_per_epoch, spec.sizes.steps) == (2, 2, 2, 6)
    assert resolved(validation={}, target="size").validation.stratified is False
    assert resolved(validation={"fraction": 0.001}).sizes.validation_rows == 1


@given(rows=st.integers(2, 60), fraction=st.floats(0.01, 0.9), batch_size=st.integers(1, 70))
def test_the_promised_sizes_are_those_of_the_prepared_data(rows, fraction, batch_size):
    table = read_columns({"a": list(range(rows)), "label": [row % 3 for row in range(rows)]})
    try:
        spec = resolved(
            table, inputs=["a"], target="label", network=[3], validation={"fraction": fraction}, batch_size=batch_size, epochs=2, seed=1
        )
    except InvalidSpec as refusal:
        assert [fault.code for fault in refusal.faults] == ["no_training_rows"]  # noqa: PT017
        return
    data = TrainingData.prepare(spec, table)
    assert (len(data.training_rows), len(data.validation_rows)) == (spec.sizes.training_rows, spec.sizes.validation_rows)
    assert spec.sizes.steps == 2 * -(-len(data.training_rows) // spec.batch_size)


UNITS, ACTIVATION = "/network/layers/0/units", "/network/layers/0/activation"


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        ({"target": "lable", "table": read_columns({"x": [1], "label": [1]})}, "/target",
         'the data has no column "lable". Did you mean "label"?'),
        ({"inputs": ["x", "zzz"]}, "/inputs/1", 'the data has no column "zzz". It has "x", "size", "bit"'),
        ({"inputs": ["x", "size", "x"]}, "/inputs/2", 'the column "x" stands twice among the inputs'),
        ({"inputs": ["x", "bit"]}, "/inputs/1", 'the column "bit" is the target, so it cannot be an input'),
        ({"inputs": ["name"]}, "/inputs/0", 'the column "name" holds text, and a network takes numbers; put one_hot'),
        ({"inputs": None, "table": WITH_TEXT}, "/inputs",
         'the column "name" holds text, and a network takes numbers; put one_hot'),
        ({"inputs": None, "table": read_columns({"bit": [0, 1]})}, "/inputs", "the data has no column beside the target"),
        ({"inputs": ["x", "large"]}, "/inputs/1",
         'the column "large" holds 1e+100: float32 takes numbers up to 3.4e+38; scale it down or set "dtype" to "float64"'),
        ({"network": [dense(2, activation="step"), 1]}, ACTIVATION, "the slope of the step activation is zero"),
        ({"network": [dense(1, activation="sigmoid")]}, ACTIVATION, "binary_cross_entropy takes logits and applies sigmoid"),
        ({"network": [dense(2, activation="softmax")]}, ACTIVATION, "softmax_cross_entropy takes logits and applies softmax"),
        ({"target": "count", "network": [2]}, UNITS,
         'the column "count" holds labels up to 2, but the last layer has 2 units, one for each label from 0; give it at least 3 units'),
        ({"target": "color", "network": [4]}, UNITS, 'the column "color" has 3 categories, and the last layer 4 outputs; '
                                                                          "give it 3 units"),
        ({"target": "color", "network": [1]}, UNITS, "binary_cross_entropy tells two classes apart"),
        ({"target": "same", "network": [2]}, "/target", "with a single class there is nothing to learn"),
        ({"target": "same", "network": [1]}, "/target", "there is nothing to learn"),
        ({"loss": {"type": "softmax_cross_entropy"}}, UNITS, "labels up to 1, but the last layer has 1 unit"),
        ({"target": "size", "loss": {"type": "softmax_cross_entropy"}}, "/target", "numbers from 0.5 to 3, not all whole"),
        ({"target": "below", "network": [3], "loss": {"type": "softmax_cross_entropy"}}, "/target", "numbers from -1 to 2"),
        ({"target": "below", "loss": {"type": "binary_cross_entropy"}}, "/target", "0 and 1 (or probabilities between), but the column"),
        ({"target": "name", "loss": {"type": "mean_squared_error"}}, "/loss", 'the column "name" holds text; choose softmax_cross_entropy'),
        ({"target": "size", "network": [3]}, UNITS, "has 1 number per row, the last layer 3 outputs; give it 1 unit"),
        ({"target": "size", "metrics": ["accuracy"]}, "/metrics/0", "accuracy counts right classes, but under mean_squared_error"),
        ({"metrics": ["accuracy", "accuracy"]}, "/metrics/1", "stands twice"),
        ({"validation": {"fraction": 0.9}}, "/validation/fraction", "holding out 0.9 of 4 rows leaves none to train on"),
        ({"target": "size", "validation": {"stratified": True}}, "/validation/stratified", "by classes only"),
        ({"network": [dense(1, weight=[[1, 2, 3]])]}, "/network/layers/0/weight", "the weight has 3 numbers per row, but 2 inputs come in"),
        ({"inputs": ["size"], "network": [dense(1, weight=[[1, 2]])]}, "/network/layers/0/weight",
         "the weight has 2 numbers per row, but 1 input comes in"),
        ({"network": [dense(1, weight=[[1e39, 2]])]}, "/network/layers/0/weight", "weight holds 1e+39, more than float32 can"),
        ({"limits": Limits(max_layers=2), "network": [1, 1, 1]}, "/network/layers", "expected at most 2 layers, got 3"),
        ({"limits": Limits(max_epochs=9)}, "/epochs", "expected at most 9 epochs, got 10"),
        ({"limits": Limits(max_steps=39), "batch_size": 1}, "/epochs", "expected at most 39 steps, got 40 (4 steps in each of 10 epochs)"),
        ({"limits": Limits(max_parameters=12), "network": [4, 1]}, "/network", "expected at most 12 parameters, got 17"),
        ({"limits": Limits(max_memory_bytes=999)}, "/network", "expected at most 999 bytes of memory, got "),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_with_the_place_and_a_remedy(fields, pointer, message):
    faults = refused(**fields)
    assert message in faults[pointer]


def test_all_faults_are_told_at_once():
    faults = refused(
        inputs=["X", "name"],
        target="size",
        network=[dense(2, activation="step"), dense(3)],
        metrics=["accuracy"],
        validation={"fraction": 0.99},
        epochs=10**9,
    )
    assert sorted(faults) == [
        "/epochs", "/inputs/0", "/inputs/1", "/network/layers/0/activation", "/validation/fraction"
    ]  # fmt: skip


def test_a_fault_does_not_bring_others_that_are_none():
    faults = refused(inputs=["x", "sise"], network=[dense(1, weight=[[1, 2, 3]])], validation={"stratified": True})
    assert list(faults) == ["/inputs/1"]


@pytest.mark.parametrize("units", [[10**9, 1], [10**6, 10**6, 1], [10**30, 1], [10**400, 1], [10**5000, 10**5000, 1], [50_000] * 400 + [1]])
def test_a_network_beyond_all_limits_is_refused_at_once_and_takes_no_memory(units):
    started = time.perf_counter()
    faults = refused(network=units)
    seconds = time.perf_counter() - started
    tracemalloc.start()
    refused(network=units)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any("at most 100,000,000 parameters" in message for message in faults.values())
    assert seconds < 2
    assert peak < 20e6


@pytest.mark.parametrize("units", [40_000_000, 2**39])
@pytest.mark.parametrize("loss", [{}, {"ignore_index": -1}, {"label_smoothing": 0.1}, {"class_weights": "balanced"}])
@pytest.mark.parametrize("kind", ["softmax_cross_entropy", "negative_log_likelihood"])
def test_what_a_loss_keeps_for_every_class_takes_no_memory_before_the_limits_are_looked_at(units, loss, kind):
    if kind == "negative_log_likelihood" and "label_smoothing" in loss:
        return
    last = dense(units, activation="linear" if kind == "softmax_cross_entropy" else "log_softmax")
    tracemalloc.start()
    faults = refused(network=[last], loss={"type": kind, **loss})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "at most 100,000,000 parameters" in faults["/network"]
    assert peak < 2e6


def test_the_largest_allowed_network_is_not_refused():
    assert resolved(network=[10, 1], limits=Limits(max_parameters=41)).sizes.parameters == 41


texts = st.text(max_size=4) | st.sampled_from(["x", "bit", "name", "type", "dense", "adam", "linear", "softmax"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts | st.sampled_from(["units", "layers", "fraction"]), inner, max_size=3)
    ),
    max_leaves=8,
)
layers = st.fixed_dictionaries(
    {"type": st.sampled_from(["dense", "dropout", "flatten"])},
    optional={"units": st.integers(-1, 5) | anything, "rate": st.floats(0, 1), "activation": texts, "weight": anything, "bias": anything},
)
specs = st.fixed_dictionaries(
    {"network": st.fixed_dictionaries({"layers": st.lists(layers, max_size=3)}) | anything, "target": st.sampled_from(list("xb")) | texts},
    optional=dict.fromkeys(
        [
            "inputs",
            "loss",
            "optimizer",
            "batch_size",
            "epochs",
            "seed",
            "shuffle",
            "validation",
            "preprocess",
            "augment",
            "metrics",
            "other",
        ],
        anything,
    ),
)


@given(specs | anything)
def test_any_json_is_resolved_or_refused_with_pointers_into_it(content):
    faults: tuple[Fault, ...] = ()
    try:
        spec, unread, faults = read_spec(TrainingSpec, content)
        resolve(spec, TABLE.info(), TABLE.rows, Limits(), unread=unread)
        return
    except InvalidSpec as refusal:
        faults += refusal.faults
    assert faults
    assert all("pydantic" not in fault.message.lower() and "Input should" not in fault.message for fault in faults)
    assert all(fault.pointer == "" or fault.pointer.startswith("/") for fault in faults)
