"""The first lessons, through the API: a neuron decides, a step is a step, signals fade through sigmoids, two layers tell XOR."""

from __future__ import annotations

from typing import Any

import pytest

from service.api.examples import NETWORKS
from tests.service.api.conftest import Caller


def evaluate(api: Caller, layers: list[dict[str, Any]], inputs: Any) -> Any:
    return api.post("/v1/networks/evaluate", json={"network": {"layers": layers}, "inputs": inputs})


def neuron(activation: str = "step", **given: Any) -> dict[str, Any]:
    return {"type": "dense", "units": 1, "activation": activation, **given}


@pytest.mark.parametrize("name", ["concert", "concert_with_bias"])
def test_going_to_the_concert(api: Caller, name: str) -> None:
    assert api.post("/v1/networks/evaluate", json=NETWORKS[name][1]).json == {
        "outputs": [[1.0]],
        "layers": [
            {"weighted_sums": [[7.0]], "pre_activations": [[1.0]], "activations": [[1.0]], "contributions": [[[0.0, 4.0, 3.0]]]},
        ],
    }


def test_a_threshold_is_a_bias_of_the_other_sign(api: Caller) -> None:
    rows = [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    threshold = evaluate(api, [neuron(weight=[[1, 4, 3]], threshold=[6])], rows).json
    assert threshold == evaluate(api, [neuron(weight=[[1, 4, 3]], bias=[-6])], rows).json
    assert [row[0] for row in threshold["outputs"]] == [0, 0, 0, 1, 0, 0, 0, 1]


def test_a_layer_takes_a_threshold_or_a_bias_but_not_both(api: Caller) -> None:
    response = evaluate(api, [neuron(weight=[[1]], threshold=[6], bias=[-6])], [[1]])
    assert response.status_code == 422
    assert "both" in response.json["errors"][0]["message"]


def test_the_step_is_0_at_exactly_the_threshold(api: Caller) -> None:
    below, above = 3 - 2**-50, 3 + 2**-50
    outputs = evaluate(api, [neuron(weight=[[1]], threshold=[3])], [[below], [3], [above]]).json["outputs"]
    assert outputs == [[0.0], [0.0], [1.0]]


def test_a_signal_through_four_sigmoids(api: Caller) -> None:
    layers = evaluate(api, [neuron("sigmoid", weight=[[1]], bias=[0])] * 4, [[3]]).json["layers"]
    found = [layer["activations"][0][0] for layer in layers]
    assert found == pytest.approx([0.9525741268224334, 0.7216325609518421, 0.6729664167640047, 0.6621670709858073], rel=1e-15)


def test_the_xor_network_of_the_deep_learning_book(api: Caller) -> None:
    assert api.post("/v1/networks/evaluate", json=NETWORKS["xor"][1]).json["outputs"] == [[0.0], [1.0], [1.0], [0.0]]


@pytest.mark.parametrize(
    ("layers", "inputs", "pointer"),
    [
        ([neuron()], [[1]], "/network/layers/0/weight"),
        ([], [[1]], "/network/layers"),
        ([neuron(weight=[[1, 2]])], [[1]], "/network/layers/0"),
        ([neuron(weight=[[1]])], [[1], [2, 3]], "/inputs/1"),
        ([neuron(weight=[[1]])], [["a"]], "/inputs/0/0"),
        ([neuron(weight=[[1]])], [[None]], "/inputs/0/0"),
        ([neuron(weight=[[1]])], [], "/inputs"),
        ([neuron(weight=[[1]])], {"x": 1}, "/inputs"),
        ([neuron(weight=[["1"]])], [[1]], "/network/layers/0/weight/0/0"),
        ([neuron("stepp", weight=[[1]])], [[1]], "/network/layers/0/activation"),
        ([{"type": "dens", "units": 1}], [[1]], "/network/layers/0/type"),
    ],
)
def test_a_fault_points_at_what_was_sent(api: Caller, layers: list[Any], inputs: Any, pointer: str) -> None:
    response = evaluate(api, layers, inputs)
    assert response.status_code == 422
    assert any(fault["pointer"].startswith(pointer) for fault in response.json["errors"]), response.json["errors"]
