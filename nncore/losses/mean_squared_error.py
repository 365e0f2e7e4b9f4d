"""The mean over rows and outputs of (output - target)^2, as torch.nn.MSELoss and Keras have it (scikit-learn halves it)."""

from __future__ import annotations

from typing import Literal

from nncore.definition import shown
from nncore.losses.loss import Loss
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class MeanSquaredError(Loss):
    """For targets that are numbers: the mean over rows and outputs of (output - target)^2."""

    model_config = shown(type="mean_squared_error")

    type: Literal["mean_squared_error"] = "mean_squared_error"
    compares_with = "targets"

    def lower(self, plan: Plan, outputs: Value) -> None:
        plan.forward.append((mean_squared_error, outputs.at, outputs.gradient, plan.row_losses(), plan.targets(outputs.size), outputs.size))


@kernel
def mean_squared_error(op: Op, arena: Array, integers: Array) -> None:
    outputs_at, gradient_at, losses_at, targets_at, size = op[:5]
    rows, kind = integers[ROWS], arena.dtype.type
    outputs, targets, losses = view(arena, outputs_at, rows, size), view(arena, targets_at, rows, size), view(arena, losses_at, rows)
    share = kind(1) / kind(size)
    for row in range(rows):
        total = kind(0)
        for j in range(size):
            difference = outputs[row, j] - targets[row, j]
            total += difference * difference
        losses[row] = total * share
    if gradient_at >= 0:
        gradient, scale = view(arena, gradient_at, rows, size), kind(2) / kind(rows * size)
        for row in range(rows):
            for j in range(size):
                gradient[row, j] = scale * (outputs[row, j] - targets[row, j])
