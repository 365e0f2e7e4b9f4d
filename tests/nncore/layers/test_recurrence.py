from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore.errors import InvalidSpec
from nncore.layers import LSTM
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.network import NetworkSpec

TYPES = ("lstm", "gru", "rnn")


def states(layer: dict[str, Any], inputs: np.ndarray, parameters: dict[str, np.ndarray]) -> np.ndarray:
    """What a network of this one layer, with these parameters, makes of sequences (rows, steps, features)."""
    network = NetworkSpec.model_validate({"layers": [layer]})
    machine = Machine(Program(network, inputs.shape[1:]), "float64")
    machine.load({f"0.{name}": values for name, values in parameters.items()})
    outputs = np.empty((len(inputs), machine.program.evaluation.outputs.size))
    machine.run_blocks(np.zeros(2), Rows.of(inputs), np.arange(len(inputs)), outputs)
    return outputs.reshape(len(inputs), *machine.program.evaluation.outputs.shape)


@pytest.mark.parametrize("name", TYPES)
def test_parameters_are_named_and_shaped_as_in_torch(name: str) -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": name, "units": 3, "bidirectional": True}, {"type": "dense", "units": 1}]})
    rows = {"lstm": 12, "gru": 9, "rnn": 3}[name]
    assert network.parameters((5, 2)) == [
        *(("0.weight_ih_l0", (rows, 2)), ("0.weight_hh_l0", (rows, 3)), ("0.bias_ih_l0", (rows,)), ("0.bias_hh_l0", (rows,))),
        *(("0.weight_ih_l0_reverse", (rows, 2)), ("0.weight_hh_l0_reverse", (rows, 3))),
        *(("0.bias_ih_l0_reverse", (rows,)), ("0.bias_hh_l0_reverse", (rows,))),
        *(("1.weight", (1, 6)), ("1.bias", (1,))),
    ]


@pytest.mark.parametrize("name", TYPES)
def test_initial_parameters_are_uniform_within_the_inverse_root_of_the_units(name: str, one_step: Any) -> None:
    step = one_step([{"type": name, "units": 64}], "mean_squared_error", input_shape=(3, 5))
    assert 0.99 / 8 < np.abs(step.parameters).max() < 1 / 8
    assert step.parameters.var() == pytest.approx(1 / 64 / 3, rel=0.03)


@pytest.mark.parametrize("name", TYPES)
def test_the_last_states_are_the_ends_of_both_directions(name: str, one_step: Any) -> None:
    layer = {"type": name, "units": 3, "bidirectional": True}
    last = one_step([layer], "mean_squared_error", input_shape=(4, 2)).evaluated()[1]
    every = one_step([layer | {"output": "all"}, {"type": "flatten"}], "mean_squared_error", input_shape=(4, 2)).evaluated()[1]
    every = every.reshape(5, 4, 6)
    np.testing.assert_array_equal(last, np.hstack([every[:, -1, :3], every[:, 0, 3:]]))


@pytest.mark.parametrize("name", TYPES)
def test_the_backward_direction_is_the_recurrence_over_the_steps_turned_around(name: str) -> None:
    random, gates = np.random.default_rng(2), {"lstm": 4, "gru": 3, "rnn": 1}[name]
    x = random.standard_normal((5, 4, 2))
    shapes = {"weight_ih_l0": (3 * gates, 2), "weight_hh_l0": (3 * gates, 3), "bias_ih_l0": (3 * gates,), "bias_hh_l0": (3 * gates,)}
    parameters = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    both = parameters | {f"{name}_reverse": values for name, values in parameters.items()}
    layer = {"type": name, "units": 3, "output": "all"}
    found = states(layer | {"bidirectional": True}, x, both)
    forward, turned = states(layer, x, parameters), states(layer, x[:, ::-1], parameters)
    np.testing.assert_allclose(found, np.concatenate([forward, turned[:, ::-1]], axis=2), rtol=1e-12)


@pytest.mark.parametrize("name", TYPES)
def test_a_nan_comes_out_as_one(name: str, one_step: Any) -> None:
    for relu in [{}, {"nonlinearity": "relu"}] if name == "rnn" else [{}]:
        step = one_step([{"type": name, "units": 2, **relu}], "mean_squared_error", input_shape=(3, 2))
        step.inputs[1, 0, 0] = np.nan
        assert np.isnan(step.evaluated()[1]).all(axis=1).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("shape", [(4,), (), (2, 3, 4), (0, 3), (3, 0)])
def test_items_that_are_no_sequences_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSpec) as refused:
        NetworkSpec.model_validate({"layers": [{"type": "gru", "units": 2}]}).output_shape(shape)
    (fault,) = refused.value.faults
    assert fault.pointer == "/layers/0"
    assert str(list(shape)) in fault.message


@pytest.mark.parametrize(
    "wrong", [{"units": 0}, {"units": 2**20 + 1}, {"units": 2, "output": "first"}, {"units": 2, "nonlinearity": "tanh"}]
)
def test_a_wrong_definition_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LSTM.model_validate(wrong)
