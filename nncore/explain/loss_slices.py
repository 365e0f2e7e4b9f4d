"""The loss around the parameters that were found, along a random line or over a random plane: wide valleys, or narrow ones.

A random direction is drawn and then filter-normalised: the part that belongs to a unit (a row of a weight, a filter of a convolution) is
made as long as the unit's own weights. Without that, networks whose weights differ in size, but which compute the same, seem to differ in
sharpness. Biases, and all else of one axis, stay where they are, as running statistics do. Position 1 is one such direction away.

Source: Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape of Neural Nets" (2018), arXiv 1712.09913, 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nncore.artifact import Artifact
from nncore.explain.compared import compared
from nncore.losses import LossSpec
from nncore.machine.machine import Machine
from nncore.machine.program import Program
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS


@dataclass(frozen=True, eq=False)
class LossLine:
    """positions, losses: (points,). A loss that is no finite number is infinity."""

    positions: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True, eq=False)
class LossPlane:
    """positions: (points,), of both axes. losses: (points, points), the first axis along the first direction."""

    positions: np.ndarray
    losses: np.ndarray


def loss_along_line(
    artifact: Artifact, loss: LossSpec, inputs: np.ndarray, expected: np.ndarray, *, radius: float = 1.0, points: int = 41, seed: int = 0
) -> LossLine:
    """The mean loss at `points` positions from -radius to radius; an odd number has the network itself in the middle.

    inputs: (rows, *input_shape), preprocessed. expected: what the loss compares with, labels (rows,) or targets (rows, outputs).
    "balanced" class weights are counted over these labels. Raises InvalidData where the rows do not fit the network or the loss.
    """
    around = _Surroundings(artifact, loss, inputs, expected)
    direction = around.direction(np.random.default_rng(seed))
    positions = np.linspace(-radius, radius, points)
    return LossLine(positions, np.array([around.loss(position * direction) for position in positions]))


def loss_over_plane(
    artifact: Artifact, loss: LossSpec, inputs: np.ndarray, expected: np.ndarray, *, radius: float = 1.0, points: int = 21, seed: int = 0
) -> LossPlane:
    """The mean loss on a grid of points x points; the first direction is that of `loss_along_line` with the same seed."""
    around, generator = _Surroundings(artifact, loss, inputs, expected), np.random.default_rng(seed)
    first, second = around.direction(generator), around.direction(generator)
    positions = np.linspace(-radius, radius, points)
    losses = [[around.loss(one * first + other * second) for other in positions] for one in positions]
    return LossPlane(positions, np.array(losses))


class _Surroundings:
    """The loss of some rows, at parameters aside from those of the artifact."""

    def __init__(self, artifact: Artifact, loss: LossSpec, inputs: np.ndarray, expected: np.ndarray) -> None:
        loss, self._rows = compared(artifact.network, artifact.input_shape, loss, inputs, expected, artifact.dtype)
        self._machine = Machine(Program(artifact.network, artifact.input_shape, loss=loss), artifact.dtype)
        self._machine.load(artifact.parameters)
        self._found = self._machine.parameters.astype(np.float64)
        self._nowhere = np.empty((0, self._machine.program.evaluation.outputs.size), self._machine.dtype)

    def direction(self, generator: np.random.Generator) -> np.ndarray:
        """(parameters,): random, filter-normalised."""
        parts = []
        for parameter in self._machine.program.layout.parameters.values():
            drawn = generator.standard_normal(parameter.shape)
            if drawn.ndim < 2:
                parts.append(np.zeros(parameter.size))
                continue
            weights = self._found[parameter.at.offset :][: parameter.size].reshape(len(drawn), -1)
            units = drawn.reshape(len(drawn), -1)
            lengths = np.linalg.norm(weights, axis=1, keepdims=True) / np.linalg.norm(units, axis=1, keepdims=True)
            parts.append((units * lengths).ravel())
        return np.concatenate(parts) if parts else np.zeros(0)

    def loss(self, aside: np.ndarray) -> float:
        """The mean loss where the parameters are so far aside."""
        with np.errstate(over="ignore"):
            self._machine.parameters[:] = self._found + aside
        sums = np.zeros(SUMS)
        self._machine.run_blocks(sums, self._rows, np.arange(len(self._rows.inputs)), self._nowhere)
        mean = sums[LOSS_SUM] / sums[ROW_SUM] if sums[ROW_SUM] else 0.0
        return float(mean) if np.isfinite(mean) else float("inf")
