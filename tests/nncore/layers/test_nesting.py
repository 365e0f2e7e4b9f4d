from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from nncore.errors import InvalidSpec
from nncore.layers.nesting import DEEPEST, MOST_LAYERS
from nncore.network import NetworkSpec
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.spec.wording import faults_of
from nncore.table.json import read_columns

FLATTEN = {"type": "flatten"}


def nested(depth: int) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = [FLATTEN]
    for level in range(depth):
        layers = [{"type": "residual", "layers": layers} if level % 2 else {"type": "parallel", "branches": [layers]}]
    return layers


def test_layers_stand_within_layers_up_to_a_depth() -> None:
    assert NetworkSpec.model_validate({"layers": nested(DEEPEST)}).output_shape((2,)) == (2,)
    for depth in (DEEPEST + 1, 100_000):
        with pytest.raises(ValidationError) as refused:
            NetworkSpec.model_validate({"layers": nested(depth)})
        (fault,) = faults_of(refused.value)
        assert (fault.pointer, fault.code) == ("/layers", "nested_too_deep")


@pytest.mark.parametrize(
    "layer",
    [{"type": "residual", "layers": [FLATTEN] * (MOST_LAYERS // 2)}, {"type": "parallel", "branches": [[]] * (MOST_LAYERS // 2)}],
)
def test_layers_within_others_count(layer: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        NetworkSpec.model_validate({"layers": [layer] * 3})
    assert faults_of(refused.value)[0].code == "too_many_layers"


def refusal(layers: list[dict[str, Any]], **spec: Any) -> InvalidSpec:
    table = read_columns({"x": [[0.0, 1.0], [1.0, 0.0]], "y": [0, 1]})
    training = TrainingSpec.model_validate({"network": {"layers": layers}, "target": "y", **spec})
    with pytest.raises(InvalidSpec) as refused:
        resolve(training, table.info(), table.rows, Limits(max_layers=5))
    return refused.value


def test_an_installation_allows_fewer_and_counts_those_within_too() -> None:
    (fault,) = refusal([{"type": "residual", "layers": [FLATTEN] * 5}, {"type": "dense", "units": 2}]).faults
    assert (fault.code, fault.got) == ("too_many_layers", "7")


def test_a_layer_within_that_cannot_be_trained_is_named() -> None:
    step = {"type": "dense", "units": 2, "activation": "step"}
    (fault,) = refusal([{"type": "parallel", "branches": [[], [step]]}, {"type": "dense", "units": 2}]).faults
    assert (fault.pointer, fault.code) == ("/network/layers/0/branches/1/0/activation", "untrainable_layer")


def test_given_parameters_within_must_fit_into_the_dtype() -> None:
    inner = {"type": "dense", "units": 2, "weight": [[1e39, 0.0], [0.0, 0.0]]}
    (fault,) = refusal([{"type": "residual", "layers": [inner]}]).faults
    assert (fault.pointer, fault.code) == ("/network/layers/0/layers/0/weight", "too_large_number")


def test_a_wrong_field_within_is_pointed_at() -> None:
    layers = [FLATTEN, {"type": "residual", "layers": [{"type": "dense", "units": 0}, {"type": "dens"}, {"type": "flatten", "units": 3}]}]
    with pytest.raises(ValidationError) as refused:
        NetworkSpec.model_validate({"layers": [*layers, {"type": "parallel", "branches": [[{"type": "dense"}]]}]})
    assert [(fault.pointer, fault.code) for fault in faults_of(refused.value)] == [
        ("/layers/1/layers/0/units", "out_of_range"),
        ("/layers/1/layers/1/type", "unknown_type"),
        ("/layers/1/layers/2/units", "unknown_field"),
        ("/layers/2/branches/0/0/units", "missing_field"),
    ]


def test_logits_may_follow_an_activation_that_a_composition_hides() -> None:
    """The outputs of a residual are no probabilities, whatever came before."""
    table = read_columns({"x": [[0.0, 1.0], [1.0, 0.0]], "y": [0, 1]})
    residual = {"type": "residual", "layers": [{"type": "dense", "units": 2}]}
    layers = [{"type": "dense", "units": 2, "activation": "softmax"}, residual]
    spec = TrainingSpec.model_validate({"network": {"layers": layers}, "target": "y", "loss": {"type": "softmax_cross_entropy"}})
    assert resolve(spec, table.info(), table.rows, Limits()).output_shape == [2]
