"""Weights of rows: a row of weight 2 counts as if it stood twice, one of weight 0 as if it were not there.

    loss = sum over rows of w (loss of the row) / sum over rows of w c;   c: the class weight of the row's label, 0 if it is ignored, else 1

The same division as for class weights (see softmax_cross_entropy.py); an epoch's mean is of all its rows so. 0 where all weights are 0.
Keras divides by the number of rows instead.
"""

from __future__ import annotations

from nncore.machine.kernels import COUNT, ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Place, Plan, Value

NO_LABEL = -(2**62)
"""Instead of an ignored label: none is."""


def lower_weights(plan: Plan, outputs: Value, class_weights: Place | int = NOWHERE, ignored: int = NO_LABEL) -> None:
    """Append the weighing of row losses and gradient that a loss has written. class_weights: (classes,), where labels differ in weight."""
    labels = NOWHERE if class_weights == NOWHERE else plan.labels()
    plan.forward.append((weigh, plan.row_losses(), outputs.gradient, outputs.size, plan.weights(), labels, class_weights, ignored))


@kernel
def weigh(op: Op, arena: Array, integers: Array) -> None:
    losses_at, gradient_at, size, weights_at, labels_at, class_weights_at, ignored = op[:7]
    rows, zero, total = integers[ROWS], arena.dtype.type(0), arena.dtype.type(0)
    losses, weights = view(arena, losses_at, rows), view(arena, weights_at, rows)
    if labels_at >= 0:
        labels, class_weights = view(integers, labels_at, rows), view(arena, class_weights_at, size)
        for row in range(rows):
            if labels[row] != ignored:
                total += weights[row] * class_weights[labels[row]]
    else:
        for row in range(rows):
            total += weights[row]
    share = arena[COUNT] / total if total > zero else zero
    arena[COUNT] = total
    for row in range(rows):
        losses[row] *= weights[row]
    if gradient_at >= 0:
        gradient = view(arena, gradient_at, rows, size)
        for row in range(rows):
            scale = weights[row] * share
            for j in range(size):
                gradient[row, j] *= scale
