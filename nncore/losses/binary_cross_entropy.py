"""The mean over rows and outputs of -log of the probability that sigmoid(logit) gives to the target, in nats.

Computed from logits, so that nothing overflows: max(z, 0) - z t + log(1 + exp(-|z|)). The same as torch.nn.BCEWithLogitsLoss.
Its gradient is sigmoid(z) - t, divided by the number of rows and outputs.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from nncore.losses.loss import Loss
from nncore.machine.exponential import exponential
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class BinaryCrossEntropy(Loss):
    """For targets that are yes or no (1 or 0, or a probability between), one question per output."""

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    compares_with = "targets"
    refused_after = ("sigmoid", "softmax", "log_softmax")

    def lower(self, plan: Plan, outputs: Value) -> None:
        plan.forward.append(
            (binary_cross_entropy, outputs.at, outputs.gradient, plan.row_losses(), plan.targets(outputs.size), outputs.size)
        )


@kernel
def binary_cross_entropy(op: Op, arena: Array, integers: Array) -> None:
    logits_at, gradient_at, losses_at, targets_at, size = op[:5]
    rows, kind = integers[ROWS], arena.dtype.type
    logits, targets, losses = view(arena, logits_at, rows, size), view(arena, targets_at, rows, size), view(arena, losses_at, rows)
    zero, one, share = kind(0), kind(1), kind(1) / kind(size)
    for row in range(rows):
        total = zero
        for j in range(size):
            z = logits[row, j]
            positive = zero if z < zero else z  # lets NaN pass
            total += positive - z * targets[row, j] + np.log1p(exponential(-np.abs(z)))
        losses[row] = total * share
    if gradient_at >= 0:
        gradient, scale = view(arena, gradient_at, rows, size), one / kind(rows * size)
        for row in range(rows):
            for j in range(size):
                gradient[row, j] = scale * (one / (one + exponential(-logits[row, j])) - targets[row, j])
