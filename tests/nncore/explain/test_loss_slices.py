"""The loss around the parameters that were found: right in the middle, right aside, and the same every time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from nncore.artifact import Artifact
from nncore.explain import loss_along_line, loss_over_plane
from nncore.explain.loss_slices import _Surroundings
from nncore.losses import LossSpec
from nncore.network import NetworkSpec
from tests.nncore.formats.networks import artifact_and_inputs

SQUARES = TypeAdapter(LossSpec).validate_python({"type": "mean_squared_error"})
CROSS_ENTROPY = TypeAdapter(LossSpec).validate_python({"type": "softmax_cross_entropy"})
X, Y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [2.0], [4.0]])


def linear(weight: list[list[float]], bias: float = 0.5) -> Artifact:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 1}]})
    parameters = {"0.weight": np.array(weight), "0.bias": np.array([bias])}
    return Artifact(network, "mean_squared_error", ("x",), (2,), "y", None, [], "float64", parameters)


def test_along_a_line_the_squares_of_a_linear_network_are_a_parabola() -> None:
    """The direction is as long as the weight, leaves the bias where it is, and the loss is that of w + position * direction."""
    artifact = linear([[3.0, 4.0]])
    line = loss_along_line(artifact, SQUARES, X, Y, radius=2.0, points=5)
    direction = np.random.default_rng(0).standard_normal((1, 2))
    direction *= 5 / np.linalg.norm(direction)
    expected = [np.mean((X @ ([[3.0, 4.0]] + t * direction).T + 0.5 - Y) ** 2) for t in line.positions]
    assert line.positions.tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]
    np.testing.assert_allclose(line.losses, expected, rtol=1e-12)


def test_the_middle_of_a_plane_is_the_network_and_its_first_axis_the_line() -> None:
    artifact, inputs = artifact_and_inputs("conv2d-0", "float64")
    labels = np.arange(6) % 3
    plane = loss_over_plane(artifact, CROSS_ENTROPY, inputs, labels, points=5, seed=4)
    line = loss_along_line(artifact, CROSS_ENTROPY, inputs, labels, points=5, seed=4)
    np.testing.assert_allclose(plane.losses[:, 2], line.losses, rtol=1e-12)
    assert plane.losses.shape == (5, 5)
    assert len(np.unique(plane.losses)) == 25


def test_every_filter_of_a_direction_is_as_long_as_its_own() -> None:
    artifact, inputs = artifact_and_inputs("conv2d-0", "float64")
    around = _Surroundings(artifact, CROSS_ENTROPY, inputs, np.arange(6) % 3)
    direction = around.direction(np.random.default_rng(1))
    for parameter in around._machine.program.layout.parameters.values():
        drawn = direction[parameter.at.offset :][: parameter.size].reshape(parameter.shape[0], -1)
        own = artifact.parameters[parameter.name].reshape(parameter.shape[0], -1)
        lengths = np.linalg.norm(own, axis=1) if len(parameter.shape) > 1 else np.zeros(len(own))
        np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), lengths, rtol=1e-12)


def test_networks_that_compute_the_same_look_the_same() -> None:
    """Ten times the weights of a relu layer, a tenth of the next: the slice does not change, as Li et al. ask for."""
    network = NetworkSpec.model_validate(
        {
            "layers": [
                {"type": "dense", "units": 3, "activation": "relu", "use_bias": False},
                {"type": "dense", "units": 1, "use_bias": False},
            ]
        }
    )
    random = np.random.default_rng(2)
    weights = {"0.weight": random.standard_normal((3, 2)), "2.weight": random.standard_normal((1, 3))}
    one = Artifact(network, "mean_squared_error", ("x",), (2,), "y", None, [], "float64", weights)
    other = replace(one, parameters={"0.weight": weights["0.weight"] * 10, "2.weight": weights["2.weight"] / 10})
    slices: list[Any] = [loss_along_line(artifact, SQUARES, X, Y, points=9).losses for artifact in (one, other)]
    np.testing.assert_allclose(*slices, rtol=1e-10)


def test_the_same_seed_gives_the_same_slice() -> None:
    one, again, other = (loss_along_line(linear([[3.0, 4.0]]), SQUARES, X, Y, seed=seed).losses.tobytes() for seed in (1, 1, 2))
    assert one == again != other


def test_a_loss_beyond_all_numbers_is_infinity() -> None:
    assert loss_along_line(linear([[1.2e154, 0.0]]), SQUARES, X, Y, points=3).losses[1] == np.inf
