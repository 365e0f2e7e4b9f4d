"""Whether back-propagation is right: its gradient against differences of the loss, parameter by parameter, in float64.

The derivative of the loss L along a parameter p is compared with (L(p + h) - L(p - h)) / 2h, whose own error is of the order of h^2 and of
rounding / h: with h = 1e-5 about 1e-10. A kink nearer than h (relu at 0, a tie of max_pool) makes a difference that is no fault.

Source: Goodfellow et al., Deep Learning (2016), 11.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.explain.compared import compared
from nncore.losses import LossSpec
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.network import NetworkSpec
from nncore.streams import stream


@dataclass(frozen=True)
class ParameterCheck:
    """One parameter of the network: how far its gradient is from differences of the loss.

    checked: how many of its numbers were compared. largest_gradient: the largest absolute value among them. largest_difference: how far
    apart the two were at most. relative_error: that, divided by the largest gradient of all parameters.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    largest_gradient: float
    largest_difference: float
    relative_error: float


@dataclass(frozen=True)
class GradientReport:
    """The checks of every parameter, at this loss."""

    loss: float
    parameters: tuple[ParameterCheck, ...]

    @property
    def relative_error(self) -> float:
        """The largest of all."""
        return max((each.relative_error for each in self.parameters), default=0.0)

    def __str__(self) -> str:
        lines = [f"{'parameter':<28}{'shape':<18}{'checked':>8}{'gradient':>12}{'apart':>12}{'relative':>12}"]
        lines += [
            f"{each.name:<28}{each.shape!s:<18}{each.checked:>8}"
            f"{each.largest_gradient:>12.3g}{each.largest_difference:>12.3g}{each.relative_error:>12.3g}"
            for each in self.parameters
        ]
        return "\n".join(lines)


def gradient_check(
    network: NetworkSpec,
    loss: LossSpec,
    inputs: np.ndarray,
    expected: np.ndarray,
    *,
    parameters: Mapping[str, np.ndarray] | None = None,
    most_of_each: int = 100,
    h: float = 1e-5,
    seed: int = 0,
) -> GradientReport:
    """The report for one batch, as in training: dropout drops, batch_norm goes by the batch.

    inputs: (rows, *input_shape). expected: what the loss compares with, labels (rows,) or targets (rows, outputs). parameters: those to
    check at; without, initial ones drawn with `seed`. most_of_each: so many numbers of a parameter are drawn, or all of them.
    "balanced" class weights are counted over these labels.
    Raises InvalidData where the rows do not fit the network or the loss, or are too few; ArithmeticError where nothing is finite.
    """
    inputs = np.asarray(inputs)
    loss, rows = compared(network, inputs.shape[1:], loss, inputs, expected, "float64")
    _check_count(network, len(inputs))
    program = Program(network, inputs.shape[1:], loss=loss, batch_size=len(inputs), gradients="in training")
    machine = Machine(program, "float64", seed)
    machine.initialise(stream(seed, "init"))
    if parameters is not None:
        machine.load(parameters)
    batch = _Batch(machine, rows)
    generator, checks, at = np.random.default_rng(seed), [], 0
    value, gradient = batch.loss(), machine.gradients.copy()
    scale = float(np.abs(gradient).max(initial=0.0)) or 1.0
    for parameter in program.layout.parameters.values():
        count = min(parameter.size, most_of_each)
        places = at + np.sort(generator.choice(parameter.size, count, replace=False))
        slopes = np.array([batch.slope(place, h) for place in places])
        apart = float(np.abs(slopes - gradient[places]).max())
        largest = float(np.abs(gradient[places]).max())
        checks.append(ParameterCheck(parameter.name, parameter.shape, count, largest, apart, apart / scale))
        at += parameter.size
    return GradientReport(value, tuple(checks))


def _check_count(network: NetworkSpec, rows: int) -> None:
    for at, layer in network.every_layer():
        if rows < layer.fewest_rows:
            wanted = f"at least {layer.fewest_rows} rows"
            message = f"the layer at {at} is trained on batches of {wanted}, got {rows}; send more"
            raise InvalidData(Fault("/inputs", "batch_too_small", message, wanted, str(rows)))


class _Batch:
    """One batch: its loss at the present parameters, always at step 0, so that dropout drops the same."""

    def __init__(self, machine: Machine, rows: Rows) -> None:
        self._machine, self._rows, self._learned = machine, rows, machine.learned.copy()

    def loss(self) -> float:
        machine, sums = self._machine, np.zeros(SUMS)
        statistics = machine.learned[machine.program.parameter_count :]
        machine.step = 0
        if not machine.run_steps(np.zeros((1, 1)), sums, self._rows, np.arange(len(self._rows.inputs)), 0):
            raise ArithmeticError(f"the {machine.verdict} is not a finite number; check at other parameters")
        statistics[:] = self._learned[machine.program.parameter_count :]
        return float(sums[LOSS_SUM] / sums[ROW_SUM])

    def slope(self, place: int, h: float) -> float:
        """The difference quotient along one number."""
        parameters = self._machine.parameters
        middle = parameters[place]
        parameters[place] = middle + h
        above = self.loss()
        parameters[place] = middle - h
        below = self.loss()
        parameters[place] = middle
        return (above - below) / (2 * h)


__all__ = ["GradientReport", "ParameterCheck", "gradient_check"]
