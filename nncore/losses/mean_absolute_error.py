"""The mean over rows and outputs of |output - target|, as torch.nn.L1Loss and Keras have it.

Its gradient is the sign of the difference, divided by the number of rows and outputs; 0 where they are equal.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from nncore.definition import shown
from nncore.losses.loss import Loss
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class MeanAbsoluteError(Loss):
    """For targets that are numbers, some of them far off: the mean of |output - target|, whose optimum is the median."""

    model_config = shown(type="mean_absolute_error")

    type: Literal["mean_absolute_error"] = "mean_absolute_error"
    compares_with = "targets"

    def lower(self, plan: Plan, outputs: Value) -> None:
        plan.forward.append(
            (mean_absolute_error, outputs.at, outputs.gradient, plan.row_losses(), plan.targets(outputs.size), outputs.size)
        )


@kernel
def mean_absolute_error(op: Op, arena: Array, integers: Array) -> None:
    outputs_at, gradient_at, losses_at, targets_at, size = op[:5]
    rows, kind = integers[ROWS], arena.dtype.type
    outputs, targets, losses = view(arena, outputs_at, rows, size), view(arena, targets_at, rows, size), view(arena, losses_at, rows)
    zero, share = kind(0), kind(1) / kind(size)
    for row in range(rows):
        total = zero
        for j in range(size):
            total += np.abs(outputs[row, j] - targets[row, j])
        losses[row] = total * share
    if gradient_at >= 0:
        gradient, scale = view(arena, gradient_at, rows, size), kind(1) / kind(rows * size)
        for row in range(rows):
            for j in range(size):
                difference = outputs[row, j] - targets[row, j]
                gradient[row, j] = scale if difference > zero else (-scale if difference < zero else zero)
