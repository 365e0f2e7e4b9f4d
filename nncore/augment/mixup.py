"""Rows are mixed in pairs, and so are their targets: share * one + (1 - share) * the other, for inputs and for what is to be learnt.

One share a batch, from the Beta(alpha, alpha) distribution, as in the paper's own code: one of 1,024 numbers that are equally likely there.
Row i is mixed with the one a random number of rows further on in the batch, whose order is random. Targets of numbers are mixed as inputs
are. Of labels the loss is mixed, which under cross-entropy is the same as soft targets:

    loss of a row = share * loss(outputs, label) + (1 - share) * loss(outputs, label of the other)

With class weights, an ignored label or weights of rows the two would count differently, so those are refused.

    {"type": "mixup", "alpha": 0.2}

Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018 (arXiv 1710.09412).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.augment.augmentation import Augmentation
from nncore.augment.draws import MIXUP, below, bits_of, key_of
from nncore.definition import shown
from nncore.machine.kernels import ROWS, Array, Op, jit, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value

if TYPE_CHECKING:
    from nncore.losses import LossSpec

SHARES = 1024


class Mixup(Augmentation):
    """Makes a network behave evenly between the rows it knows."""

    model_config = shown(type="mixup", alpha=0.2)

    type: Literal["mixup"] = "mixup"
    alpha: Annotated[float, Field(ge=0.01, le=100, description="The larger, the more even the mixtures.")] = 0.2

    def unfit(self, loss: LossSpec) -> str | None:
        for name in ("class_weights", "ignore_index"):
            if getattr(loss, name, None) is not None:
                return f"labels cannot be mixed under {name}: two rows would count differently; leave mixup or {name} out"
        return None

    def lower(self, plan: Plan, x: Value) -> Value:
        y = Value(plan.workspace(x.size), NOWHERE, x.shape)
        plan.forward.append((mix, x.at, y.at, x.size, self._shares(plan)))
        return y

    def lower_targets(self, plan: Plan, outputs: Value, loss: LossSpec) -> None:
        if loss.compares_with == "targets":
            targets, mixed = plan.targets(outputs.size), plan.workspace(outputs.size)
            plan.forward.append((mix, targets, mixed, outputs.size, self._shares(plan)))
            plan.forward.append((put_back, mixed, targets, outputs.size))

    def lower_loss(self, plan: Plan, outputs: Value, loss: LossSpec) -> None:
        if loss.compares_with == "labels":
            places = (outputs.at, outputs.gradient, plan.row_losses(), plan.labels())
            kept = plan.constant(1 - getattr(loss, "label_smoothing", 0.0))
            plan.forward.append((mix_labels, *places, outputs.size, self._shares(plan), kept))

    def _shares(self, plan: Plan) -> object:
        return plan.constant(*shares(self.alpha))


@cache
def shares(alpha: float) -> tuple[float, ...]:
    """SHARES numbers that are equally likely under Beta(alpha, alpha)."""
    from scipy.special import betaincinv  # imported where it is used: scipy.special takes 30 ms

    return tuple(betaincinv(alpha, alpha, (np.arange(SHARES) + 0.5) / SHARES).tolist())


@jit
def share_and_distance(integers: Array, shares: Array) -> tuple[float, int]:
    """What is kept of each row in the present step, and how many rows further on its partner is."""
    key, rows = key_of(integers, MIXUP), integers[ROWS]
    distance = 1 + below(bits_of(key, 1), rows - 1) if rows > 1 else 0
    return shares[below(bits_of(key, 0), SHARES)], distance


@kernel
def mix(op: Op, arena: Array, integers: Array) -> None:
    """y is x, each row mixed with its partner."""
    x_at, y_at, size, shares_at = op[:4]
    rows = integers[ROWS]
    x, y = view(arena, x_at, rows, size), view(arena, y_at, rows, size)
    share, distance = share_and_distance(integers, view(arena, shares_at, SHARES))
    rest = arena.dtype.type(1) - share
    for row in range(rows):
        one, other, mixed = x[row], x[(row + distance) % rows], y[row]
        for j in range(size):
            mixed[j] = share * one[j] + rest * other[j]


@kernel
def put_back(op: Op, arena: Array, integers: Array) -> None:
    """y is x."""
    x_at, y_at, item_size = op[:3]
    size = integers[ROWS] * item_size
    x, y = view(arena, x_at, size), view(arena, y_at, size)
    for i in range(size):
        y[i] = x[i]


@kernel
def mix_labels(op: Op, arena: Array, integers: Array) -> None:
    """Corrects losses and gradients of the logits: a part of what the label has goes over to that of the partner."""
    logits_at, gradient_at, losses_at, labels_at, classes, shares_at, kept_at = op[:7]
    rows, kind = integers[ROWS], arena.dtype.type
    logits, gradient = view(arena, logits_at, rows, classes), view(arena, gradient_at, rows, classes)
    losses, labels = view(arena, losses_at, rows), view(integers, labels_at, rows)
    share, distance = share_and_distance(integers, view(arena, shares_at, SHARES))
    moved = (kind(1) - share) * arena[kept_at]
    for row in range(rows):
        label, other = labels[row], labels[(row + distance) % rows]
        losses[row] += moved * (logits[row, label] - logits[row, other])
        gradient[row, label] += moved / kind(rows)
        gradient[row, other] -= moved / kind(rows)
