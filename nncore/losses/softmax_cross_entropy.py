"""The mean over rows of -log of the probability that softmax(logits) gives to the row's label, in nats.

The maximum of each row is subtracted first, so large finite logits do not overflow. The same as torch.nn.CrossEntropyLoss.
Its gradient is (softmax - one_hot) / rows.

Source: Goodfellow et al., Deep Learning (2016), 6.2.2.3.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from nncore.losses.loss import Loss
from nncore.machine.exponential import exponential
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class SoftmaxCrossEntropy(Loss):
    """For targets that are one class of several."""

    type: Literal["softmax_cross_entropy"] = "softmax_cross_entropy"
    compares_with = "labels"
    refused_after = ("sigmoid", "softmax")

    def lower(self, plan: Plan, outputs: Value) -> None:
        exponentials = outputs.gradient if plan.training else plan.workspace(outputs.size)
        places = (outputs.at, exponentials, plan.row_losses(), plan.labels())
        plan.forward.append((softmax_cross_entropy, *places, outputs.size, int(plan.training)))


@kernel
def softmax_cross_entropy(op: Op, arena: Array, integers: Array) -> None:
    """Leaves the gradient of the logits in `exponentials` when the plan trains."""
    logits_at, exponentials_at, losses_at, labels_at, classes, training = op[:6]
    rows, kind = integers[ROWS], arena.dtype.type
    logits, losses = view(arena, logits_at, rows, classes), view(arena, losses_at, rows)
    exponentials, labels = view(arena, exponentials_at, rows, classes), view(integers, labels_at, rows)
    share = kind(1) / kind(rows)
    for row in range(rows):
        z, e, label = logits[row], exponentials[row], labels[row]
        top, total = z[0], kind(0)
        for j in range(classes):
            top = max(top, z[j])
        for j in range(classes):
            e[j] = exponential(z[j] - top)
            total += e[j]
        losses[row] = np.log(total) + top - z[label]
        if training:
            scale = share / total
            for j in range(classes):
                e[j] *= scale
            e[label] -= share
