"""The mean over rows of -log of the probability that softmax(logits) gives to the row's label, in nats.

The maximum of each row is subtracted first, so large finite logits do not overflow. The same as torch.nn.CrossEntropyLoss.
Its gradient is (softmax - one_hot) / rows.

With weights w of the classes, a smoothing s and an ignored label, each as torch has it:

    loss of a row = (1 - s) w_label (-log p_label) + s / classes * sum over c of w_c (-log p_c);   0 for an ignored row
    mean          = sum of the rows' losses / sum of the w_label of the rows that are not ignored; 0 where that is 0 (torch: NaN)

An epoch's mean is of all its rows so, not a mean of the means of its batches. Keras divides by the number of rows instead.

Sources: Goodfellow et al., Deep Learning (2016), 6.2.2.3; smoothing: Szegedy et al., 2016 (arXiv 1512.00567).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.losses.of_classes import LossOfClasses
from nncore.machine.exponential import exponential, log_probability
from nncore.machine.kernels import COUNT, ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value


class SoftmaxCrossEntropy(LossOfClasses):
    """For targets that are one class of several, one output for each. Takes logits: no softmax before it."""

    model_config = shown(type="softmax_cross_entropy", class_weights="balanced", label_smoothing=0.1)

    type: Literal["softmax_cross_entropy"] = "softmax_cross_entropy"
    refused_after = ("sigmoid", "softmax", "log_softmax")
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="Part of the target that is spread over all classes.")] = 0.0

    def lower(self, plan: Plan, outputs: Value) -> None:
        trains = outputs.gradient != NOWHERE  # not even in a training plan, where the outputs are the inputs
        exponentials = outputs.gradient if trains else plan.workspace(outputs.size)
        places = (outputs.at, exponentials, plan.row_losses(), plan.labels())
        if self.class_weights is None and not self.label_smoothing and self.ignore_index is None:
            plan.forward.append((softmax_cross_entropy, *places, outputs.size, int(trains)))
        else:
            weights, ignored = self._weights(plan, outputs)
            shares = plan.constant(1 - self.label_smoothing, self.label_smoothing / outputs.size)
            plan.forward.append((weighted_softmax_cross_entropy, *places, outputs.size, int(trains), weights, shares, ignored))


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
        losses[row] = -log_probability(z[label], top, np.log(total))
        if training:
            scale = share / total
            for j in range(classes):
                e[j] *= scale
            e[label] -= share


@kernel
def weighted_softmax_cross_entropy(op: Op, arena: Array, integers: Array) -> None:
    """The same with weights, smoothing and an ignored label; tells the machine what the mean is divided by."""
    logits_at, exponentials_at, losses_at, labels_at, classes, training, weights_at, shares_at, ignored = op[:9]
    rows, kind = integers[ROWS], arena.dtype.type
    logits, losses = view(arena, logits_at, rows, classes), view(arena, losses_at, rows)
    exponentials, labels = view(arena, exponentials_at, rows, classes), view(integers, labels_at, rows)
    weights, own, spread = view(arena, weights_at, classes), arena[shares_at], arena[shares_at + 1]
    zero, divisor, weight_sum = kind(0), kind(0), kind(0)
    for row in range(rows):
        if labels[row] != ignored:
            divisor += weights[labels[row]]
    for j in range(classes):
        weight_sum += weights[j]
    arena[COUNT] = divisor
    share = kind(1) / divisor if divisor > zero else zero
    for row in range(rows):
        z, e, label = logits[row], exponentials[row], labels[row]
        if label == ignored:
            losses[row] = zero
            for j in range(classes):
                e[j] = zero
        else:
            top, total, surprise = z[0], zero, zero
            for j in range(classes):
                top = max(top, z[j])
            for j in range(classes):
                e[j] = exponential(z[j] - top)
                total += e[j]
            log_total, own_weight = np.log(total), own * weights[label]
            if spread > zero:
                for j in range(classes):
                    surprise -= weights[j] * log_probability(z[j], top, log_total)
            losses[row] = spread * surprise - own_weight * log_probability(z[label], top, log_total)
            if training:
                scale = share * (own_weight + spread * weight_sum) / total
                for j in range(classes):
                    e[j] = e[j] * scale - share * spread * weights[j]
                e[label] -= share * own_weight
