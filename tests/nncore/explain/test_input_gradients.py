"""Slopes of outputs along inputs: those of torch, those of the theory, for every layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.artifact import Artifact
from nncore.errors import InvalidData, InvalidSpec
from nncore.explain.input_gradients import input_gradients
from nncore.network import NetworkSpec
from tests.nncore.formats.networks import artifact_and_inputs
from tests.nncore.test_gradients import NETWORKS


def linear(weight: list[list[float]], activation: str = "linear") -> Artifact:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": len(weight), "activation": activation}]})
    parameters = {"0.weight": np.array(weight), "0.bias": np.zeros(len(weight))}
    return Artifact(network, "mean_squared_error", ("x",), (len(weight[0]),), "y", None, [], "float64", parameters)


def test_slopes_of_a_linear_network_are_its_weights() -> None:
    weight = [[1.0, -2.0, 3.0], [0.5, 0.0, 4.0]]
    inputs = np.random.default_rng(1).standard_normal((5, 3))
    np.testing.assert_array_equal(input_gradients(linear(weight), inputs, 0), np.tile(weight[0], (5, 1)))
    np.testing.assert_array_equal(input_gradients(linear(weight), inputs, [0, 1, 1, 0, 1]), np.array(weight)[[0, 1, 1, 0, 1]])


def test_slopes_of_a_sigmoid_are_its_weights_times_its_derivative() -> None:
    inputs = np.array([[0.3, -0.2]])
    y = 1 / (1 + np.exp(-(inputs @ [[2.0], [5.0]])))
    np.testing.assert_allclose(input_gradients(linear([[2.0, 5.0]], "sigmoid"), inputs, 0), y * (1 - y) * [[2.0, 5.0]], rtol=1e-12)


def test_without_a_choice_it_is_the_largest_output_of_each_row() -> None:
    weight = [[1.0, 0.0], [0.0, 1.0]]
    np.testing.assert_array_equal(input_gradients(linear(weight), np.array([[3.0, 1.0], [1.0, 3.0]])), weight)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [name for name in NETWORKS if "embedding" not in name])
def test_slopes_are_those_of_torch(name: str, torch_network: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    artifact, inputs = artifact_and_inputs(name, "float64")
    model = torch_network(
        artifact.network, artifact.input_shape, np.concatenate([v.ravel() for n, v in artifact.parameters.items() if "running" not in n])
    )
    model.load_state_dict({key: torch.tensor(values) for key, values in artifact.parameters.items()}, strict=True)
    x = torch.tensor(inputs, requires_grad=True)
    model.eval()(x).reshape(len(inputs), -1)[:, 0].sum().backward()
    np.testing.assert_allclose(input_gradients(artifact, inputs, 0), x.grad.numpy(), atol=1e-13, rtol=1e-10)


def test_many_rows_go_through_in_batches_and_stay_apart() -> None:
    artifact, inputs = artifact_and_inputs("conv2d-1", "float64", rows=150)
    together = input_gradients(artifact, inputs, 1)
    np.testing.assert_allclose(together[149:], input_gradients(artifact, inputs[149:], 1), atol=1e-14)
    assert together.tobytes() == input_gradients(artifact, inputs, 1).tobytes()


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (np.ones((2, 3)), 0, r"expected inputs of shape \(rows, 2\)"),
        (np.ones((0, 2)), 0, "expected inputs of shape"),
        (np.array([[1, np.nan]]), 0, "finite inputs"),
        (np.ones((2, 2)), 1, "expected outputs from 0 to 0"),
        (np.ones((2, 2)), -1, "expected outputs from 0 to 0"),
    ],
)
def test_what_does_not_fit_is_refused(inputs: np.ndarray, output: int, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        input_gradients(linear([[2.0, 5.0]]), inputs, output)


def test_tokens_have_no_slope() -> None:
    with pytest.raises(InvalidSpec, match="no slope"):
        input_gradients(*artifact_and_inputs("whole-texts", "float64"), 0)


def test_slopes_that_overflow_are_refused() -> None:
    with pytest.raises(InvalidData, match="slopes leave the numbers"):
        input_gradients(linear([[1e308, 1e308]], "gelu"), np.array([[1e-10, 1e308]]), 0)
