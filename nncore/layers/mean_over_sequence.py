"""y = the mean of the steps of a sequence: items (steps, features) become (features,), whatever the number of steps.

Steps that an embedding calls padding are left out, both of the sum and of the count; where all are, 0 comes out. What is padding is known
as long as only layers that keep the steps stand between: dropout, activation, layer_norm, residual, and recurrences whose output is "all".
Behind any other layer every step counts.

Source: Iyyer et al., "Deep unordered composition rivals syntactic methods for text classification", ACL 2015.
"""

from __future__ import annotations

from typing import Literal

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.layers.layer import Layer, Shape
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value


class MeanOverSequence(Layer):
    """The mean of the steps: (steps, features) becomes (features,); what an embedding calls padding is left out. No parameters."""

    model_config = shown(type="mean_over_sequence")

    type: Literal["mean_over_sequence"] = "mean_over_sequence"

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or min(input_shape) < 1:
            message = (
                f"a mean_over_sequence layer takes sequences, items of shape (steps, features), got items of shape {list(input_shape)}"
            )
            raise InvalidSpec(Fault("", "shape_mismatch", message, "(steps, features)", str(list(input_shape))))
        return input_shape[1:]

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        y = plan.value(*self.output_shape(x.shape))
        plan.forward.append((mean_forward, x.at, y.at, x.mask, *x.shape))
        if x.gradient != NOWHERE:
            plan.backward.append([(mean_backward, x.gradient, y.gradient, x.mask, *x.shape)])
        return y


@kernel
def mean_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = sum of the steps that count / their number."""
    x_at, y_at, mask_at, steps, features = op[:5]
    rows, zero, one = integers[ROWS], arena.dtype.type(0), arena.dtype.type(1)
    x, y = view(arena, x_at, rows, steps, features), view(arena, y_at, rows, features)
    masked, mask = mask_at >= 0, view(arena, mask_at if mask_at >= 0 else x_at, rows, steps)
    for row in range(rows):
        out, count = y[row], zero
        for j in range(features):
            out[j] = zero
        for t in range(steps):
            if not masked or mask[row, t] > zero:
                numbers = x[row, t]
                count += one
                for j in range(features):
                    out[j] += numbers[j]
        share = one / max(count, one)
        for j in range(features):
            out[j] *= share


@kernel
def mean_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = dy / number of steps that count, or 0 at those that do not."""
    dx_at, dy_at, mask_at, steps, features = op[:5]
    rows, zero, one = integers[ROWS], arena.dtype.type(0), arena.dtype.type(1)
    dx, dy = view(arena, dx_at, rows, steps, features), view(arena, dy_at, rows, features)
    masked, mask = mask_at >= 0, view(arena, mask_at if mask_at >= 0 else dx_at, rows, steps)
    for row in range(rows):
        slope, count = dy[row], zero
        for t in range(steps):
            count += one if not masked or mask[row, t] > zero else zero
        share = one / max(count, one)
        for t in range(steps):
            out, part = dx[row, t], share if not masked or mask[row, t] > zero else zero
            for j in range(features):
                out[j] = slope[j] * part
