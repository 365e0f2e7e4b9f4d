"""The mean over rows of minus the output of the row's label: the outputs are logarithms of probabilities, as log_softmax gives them.

The same as torch.nn.NLLLoss, and log_softmax before it is the same as softmax_cross_entropy of the logits. Weights of the classes and an
ignored label as there: the mean is divided by the sum of the weights of the rows that count.
"""

from __future__ import annotations

from typing import Literal

from nncore.definition import shown
from nncore.losses.of_classes import LossOfClasses
from nncore.machine.kernels import COUNT, ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class NegativeLogLikelihood(LossOfClasses):
    """For targets that are one class of several, and networks that end in log_softmax."""

    model_config = shown(type="negative_log_likelihood")

    type: Literal["negative_log_likelihood"] = "negative_log_likelihood"
    wanted_after = "log_softmax"

    def lower(self, plan: Plan, outputs: Value) -> None:
        places = (outputs.at, outputs.gradient, plan.row_losses(), plan.labels())
        plan.forward.append((negative_log_likelihood, *places, outputs.size, *self._weights(plan, outputs)))


@kernel
def negative_log_likelihood(op: Op, arena: Array, integers: Array) -> None:
    outputs_at, gradient_at, losses_at, labels_at, classes, weights_at, ignored = op[:7]
    rows, zero, one, divisor = integers[ROWS], arena.dtype.type(0), arena.dtype.type(1), arena.dtype.type(0)
    outputs, losses, labels = view(arena, outputs_at, rows, classes), view(arena, losses_at, rows), view(integers, labels_at, rows)
    weights = view(arena, weights_at, classes)
    for row in range(rows):
        losses[row] = zero
        if labels[row] != ignored:
            losses[row] = -weights[labels[row]] * outputs[row, labels[row]]
            divisor += weights[labels[row]]
    arena[COUNT] = divisor
    if gradient_at >= 0:
        gradient, share = view(arena, gradient_at, rows, classes), one / divisor if divisor > zero else zero
        for row in range(rows):
            for j in range(classes):
                gradient[row, j] = zero
            if labels[row] != ignored:
                gradient[row, labels[row]] = -weights[labels[row]] * share
