"""Not a loss to train with, but a question: a weighted sum of the outputs of each row, whose gradient is asked for."""

from __future__ import annotations

from typing import Literal

from nncore.losses.loss import Loss
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class WeightedOutputs(Loss):
    """The targets are the weights: one of 1 among zeros asks for a single output. The gradient is that of each row's own sum."""

    type: Literal["weighted_outputs"] = "weighted_outputs"
    compares_with = "targets"

    def lower(self, plan: Plan, outputs: Value) -> None:
        places = (outputs.at, outputs.gradient, plan.row_losses(), plan.targets(outputs.size))
        plan.forward.append((weighted_outputs, *places, outputs.size))


@kernel
def weighted_outputs(op: Op, arena: Array, integers: Array) -> None:
    """A row's loss is the sum of its weights times its outputs, and its gradient the weights."""
    outputs_at, gradient_at, losses_at, weights_at, size = op[:5]
    rows, zero = integers[ROWS], arena.dtype.type(0)
    outputs, weights, losses = view(arena, outputs_at, rows, size), view(arena, weights_at, rows, size), view(arena, losses_at, rows)
    for row in range(rows):
        total = zero
        for j in range(size):
            total += outputs[row, j] * weights[row, j]
        losses[row] = total
    if gradient_at >= 0:
        gradient = view(arena, gradient_at, rows, size)
        for row in range(rows):
            for j in range(size):
                gradient[row, j] = weights[row, j]
