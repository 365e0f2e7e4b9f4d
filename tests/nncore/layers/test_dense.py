from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore.errors import InvalidSpec
from nncore.layers import Dense
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.network import NetworkSpec


def answers(layer: dict[str, Any], inputs: list[list[float]]) -> list[list[float]]:
    """What a network of this one layer, with its given parameters, makes of the inputs."""
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", **layer}]})
    machine = Machine(Program(network, (len(inputs[0]),)), "float64")
    machine.initialise(np.random.default_rng(0))
    outputs = np.empty((len(inputs), layer["units"]))
    machine.run_blocks(np.zeros(2), Rows.of(np.array(inputs, float)), np.arange(len(inputs)), outputs)
    return outputs.tolist()


CONCERT = {"units": 1, "activation": "step", "weight": [[1.0, 4.0, 3.0]]}


@pytest.mark.parametrize("form", [{"threshold": [6.0]}, {"bias": [-6.0]}])
def test_a_threshold_is_a_bias_of_the_other_sign(form: dict[str, Any]) -> None:
    assert answers(CONCERT | form, [[0, 1, 1], [1, 1, 0], [1, 0, 1]]) == [[1], [0], [0]]


def test_the_step_is_zero_at_exactly_the_threshold() -> None:
    assert answers(CONCERT | {"threshold": [7.0]}, [[0, 1, 1]]) == [[0]]
    assert answers(CONCERT | {"threshold": [np.nextafter(7.0, 0)]}, [[0, 1, 1]]) == [[1]]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("linear", [-1.0, 0.0, 2.0]),
        ("sigmoid", [1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2))]),
        ("tanh", [np.tanh(-1), 0.0, np.tanh(2)]),
        ("relu", [0.0, 0.0, 2.0]),
        ("softmax", (np.exp([-1, 0, 2]) / np.exp([-1, 0, 2]).sum()).tolist()),
        ("step", [0.0, 0.0, 1.0]),
    ],
)
def test_every_activation_computes_its_formula(activation: str, expected: list[float]) -> None:
    layer = {"units": 3, "activation": activation, "weight": [[-1.0], [0.0], [2.0]], "use_bias": False}
    np.testing.assert_allclose(answers(layer, [[1.0]]), [expected], rtol=1e-15)


def test_initial_parameters_are_uniform_within_the_inverse_root_of_the_inputs(one_step: Any) -> None:
    step = one_step([{"type": "dense", "units": 300}], "mean_squared_error", input_shape=(100,))
    assert np.abs(step.parameters).max() == pytest.approx(0.1, rel=1e-3)
    assert np.abs(step.parameters).max() < 0.1
    assert step.parameters.var() == pytest.approx(0.1**2 / 3, rel=0.02)
    assert abs(step.parameters.mean()) < 1e-3


def test_given_parameters_are_where_training_starts_and_change_no_other(one_step: Any) -> None:
    free = one_step([{"type": "dense", "units": 2}, {"type": "dense", "units": 3}], "mean_squared_error", input_shape=(2,))
    given = {"type": "dense", "units": 2, "weight": [[1.5, -2.0], [0.25, 3.0]], "threshold": [0.5, -1.0]}
    step = one_step([given, {"type": "dense", "units": 3}], "mean_squared_error", input_shape=(2,))
    assert step.parameters[:6].tolist() == [1.5, -2.0, 0.25, 3.0, -0.5, 1.0]
    np.testing.assert_array_equal(step.parameters[6:], free.parameters[6:])


def test_without_a_bias_there_is_no_parameter_for_it() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 2, "use_bias": False}]})
    assert network.parameters((3,)) == [("0.weight", (2, 3))]


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        ({"weight": [[1.0, 2.0]]}, "weight", "expected 2 rows, got 1"),
        ({"weight": [[1.0, 2.0], [1.0]]}, "weight", "rows of 1 and 2 numbers"),
        ({"weight": [[], []]}, "weight", "rows of 0 numbers"),
        ({"bias": [1.0]}, "bias", "expected 2, got 1"),
        ({"threshold": [1.0, 2.0, 3.0]}, "threshold", "expected 2, got 3"),
        ({"bias": [1.0, 2.0], "threshold": [1.0, 2.0]}, "threshold", "not both"),
        ({"use_bias": False, "bias": [1.0, 2.0]}, "bias", "use_bias is false"),
        ({"bias": [1.0, float("nan")]}, "bias", "finite"),
        ({"units": 0}, "units", "greater than or equal to 1"),
        ({"units": "2"}, "units", "valid integer"),
        ({"units": True}, "units", "valid integer"),
        ({"unit": 2}, "unit", "not permitted"),
    ],
)
def test_a_wrong_definition_is_refused_at_the_field(wrong: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Dense.model_validate({"units": 2} | wrong)
    assert [error["loc"][0] for error in refused.value.errors()] == [field]
    assert says in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("shape", "pointer", "says"),
    [((3, 2), "", '"flatten"'), ((), "", '"flatten"'), ((0,), "", "at least one"), ((3,), "/weight", "3 inputs come in")],
)
def test_a_shape_that_does_not_fit_is_refused(shape: tuple[int, ...], pointer: str, says: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        Dense(units=1, weight=[[1.0, 2.0]]).output_shape(shape)
    assert refused.value.faults[0].pointer == pointer
    assert says in refused.value.faults[0].message


def test_the_step_activation_cannot_be_trained() -> None:
    reason = Dense(units=1, activation="step").untrainable()
    assert reason is not None
    assert "slope" in reason
    assert Dense(units=1, activation="relu").untrainable() is None


def test_the_gradient_of_a_bias_over_a_million_rows_keeps_its_digits_in_float32(one_step):
    """One after the other they lost the third: each is then added to a sum of a million times its size."""
    step = one_step([{"type": "dense", "units": 1}], "mean_squared_error", input_shape=(1,), rows=1_000_000, dtype="float32")
    step.inputs[:], step.targets[:] = 0.1, 0.3
    weight, bias = step.parameters.astype(float)
    slope = 2 * (weight * np.float32(0.1) + bias - np.float32(0.3))
    assert step.gradient()[1] == pytest.approx(slope, rel=5e-5)
