"""The mean over rows and outputs of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = output - target.

As torch.nn.HuberLoss and Keras have it; torch.nn.SmoothL1Loss(beta) is this one with delta = beta, divided by beta.
Its gradient is d, cut at +-delta, divided by the number of rows and outputs.

Source: Huber, "Robust estimation of a location parameter", 1964.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.losses.loss import Loss
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class Huber(Loss):
    """Squared near the target, absolute far from it: d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2)."""

    model_config = shown(type="huber", delta=1.0)

    type: Literal["huber"] = "huber"
    delta: Annotated[float, Field(ge=1e-9, le=1e9, description="The difference beyond which the loss is linear.")] = 1.0
    compares_with = "targets"

    def lower(self, plan: Plan, outputs: Value) -> None:
        places = (outputs.at, outputs.gradient, plan.row_losses(), plan.targets(outputs.size))
        plan.forward.append((huber, *places, outputs.size, plan.constant(self.delta, self.delta / 2)))


@kernel
def huber(op: Op, arena: Array, integers: Array) -> None:
    outputs_at, gradient_at, losses_at, targets_at, size, constants_at = op[:6]
    rows, kind = integers[ROWS], arena.dtype.type
    outputs, targets, losses = view(arena, outputs_at, rows, size), view(arena, targets_at, rows, size), view(arena, losses_at, rows)
    delta, half_delta = arena[constants_at], arena[constants_at + 1]
    share, half = kind(1) / kind(size), kind(0.5)
    for row in range(rows):
        total = kind(0)
        for j in range(size):
            far = np.abs(outputs[row, j] - targets[row, j])
            total += delta * (far - half_delta) if far > delta else half * far * far
        losses[row] = total * share
    if gradient_at >= 0:
        gradient, scale = view(arena, gradient_at, rows, size), kind(1) / kind(rows * size)
        for row in range(rows):
            for j in range(size):
                gradient[row, j] = scale * min(max(outputs[row, j] - targets[row, j], -delta), delta)
