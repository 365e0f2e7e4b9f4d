"""The mean over rows and outputs of -log of the probability that sigmoid(logit) gives to the target, in nats.

Computed from logits, so that nothing overflows: max(z, 0) - z t + log(1 + exp(-|z|)). The same as torch.nn.BCEWithLogitsLoss.
Its gradient is sigmoid(z) - t, divided by the number of rows and outputs.

With class weights w0, w1 an answer of target t counts w0 (1 - t) + w1 t, and the mean is divided by the sum of what all answers count.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from nncore.definition import shown
from nncore.losses.class_weights import ClassWeights, balanced, some_class_counts
from nncore.losses.loss import Loss
from nncore.machine.exponential import exponential
from nncore.machine.kernels import COUNT, ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class BinaryCrossEntropy(Loss):
    """For targets that are yes or no (1 or 0, or a probability between), one question per output. Takes logits: no sigmoid before it."""

    model_config = shown(type="binary_cross_entropy")

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    compares_with = "targets"
    refused_after = ("sigmoid", "softmax", "log_softmax")

    class_weights: Annotated[
        ClassWeights | None,
        Field(description='What an answer of 0 and one of 1 count, or "balanced": answers / (2 * answers of the class), in training.'),
    ] = None

    @field_validator("class_weights")
    @classmethod
    def _some_class_counts(cls, weights: list[float] | str | None) -> list[float] | str | None:
        some_class_counts(weights)
        return weights

    def balanced(self, answers: np.ndarray) -> Self:
        """This loss with "balanced" as numbers, counted over `answers` (int64, 0 and 1, of any shape); as it is where none are wanted."""
        if self.class_weights != "balanced":
            return self
        return self.model_copy(update={"class_weights": balanced(answers.reshape(-1), 2)})

    def lower(self, plan: Plan, outputs: Value) -> None:
        places = (outputs.at, outputs.gradient, plan.row_losses(), plan.targets(outputs.size), outputs.size)
        if self.class_weights is None:
            plan.forward.append((binary_cross_entropy, *places))
        else:
            plan.forward.append((weighted_binary_cross_entropy, *places, plan.constant(*self._numbers())))

    def weigh(self, plan: Plan, outputs: Value) -> None:
        if self.class_weights is None:
            super().weigh(plan, outputs)
        else:
            places = (plan.row_losses(), outputs.gradient, plan.targets(outputs.size), outputs.size, plan.weights())
            plan.forward.append((weigh_answers, *places, plan.constant(*self._numbers())))

    def _numbers(self) -> list[float]:
        """The weights of 0 and 1; "balanced" will be numbers before anything runs."""
        return self.class_weights if isinstance(self.class_weights, list) else [1.0, 1.0]


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


@kernel
def weighted_binary_cross_entropy(op: Op, arena: Array, integers: Array) -> None:
    """The same with class weights; tells the machine what the mean is divided by."""
    logits_at, gradient_at, losses_at, targets_at, size, weights_at = op[:6]
    rows, kind = integers[ROWS], arena.dtype.type
    logits, targets, losses = view(arena, logits_at, rows, size), view(arena, targets_at, rows, size), view(arena, losses_at, rows)
    zero, one, share, divisor, no, yes = kind(0), kind(1), kind(1) / kind(size), kind(0), arena[weights_at], arena[weights_at + 1]
    for row in range(rows):
        total, count = zero, zero
        for j in range(size):
            z, target = logits[row, j], targets[row, j]
            positive, weight = zero if z < zero else z, no + (yes - no) * target
            total += weight * (positive - z * target + np.log1p(exponential(-np.abs(z))))
            count += weight
        losses[row] = total * share
        divisor += count * share
    arena[COUNT] = divisor
    if gradient_at >= 0:
        gradient, scale = view(arena, gradient_at, rows, size), share / divisor if divisor > zero else zero
        for row in range(rows):
            for j in range(size):
                target = targets[row, j]
                weight = no + (yes - no) * target
                gradient[row, j] = scale * weight * (one / (one + exponential(-logits[row, j])) - target)


@kernel
def weigh_answers(op: Op, arena: Array, integers: Array) -> None:
    """Weights of rows on top of those of classes (see weights.py)."""
    losses_at, gradient_at, targets_at, size, row_weights_at, weights_at = op[:6]
    rows, kind = integers[ROWS], arena.dtype.type
    losses, targets, weights = view(arena, losses_at, rows), view(arena, targets_at, rows, size), view(arena, row_weights_at, rows)
    share, total, no, yes = kind(1) / kind(size), kind(0), arena[weights_at], arena[weights_at + 1]
    for row in range(rows):
        count = kind(0)
        for j in range(size):
            count += no + (yes - no) * targets[row, j]
        total += weights[row] * count * share
    change = arena[COUNT] / total if total > kind(0) else kind(0)
    arena[COUNT] = total
    for row in range(rows):
        losses[row] *= weights[row]
    if gradient_at >= 0:
        gradient = view(arena, gradient_at, rows, size)
        for row in range(rows):
            scale = weights[row] * change
            for j in range(size):
                gradient[row, j] *= scale
