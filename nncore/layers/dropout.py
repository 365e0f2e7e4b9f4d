"""While training, each element is zeroed with probability `rate` and the others are divided by 1 - rate; otherwise nothing happens.

The network cannot lean on any single element, and the expected sum stays what it is at inference ("inverted" dropout).
Which elements go is a hash of (seed, step, layer, element): there is no stream to save, and backward computes the choice again.

Source: Srivastava et al., "Dropout", JMLR 15 (2014). The hash is splitmix64 (Steele, Lea, Flood, 2014).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.layers.layer import Layer, Shape
from nncore.machine.kernels import FIRST_ROW, ROWS, SEED, STEP, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value


class Dropout(Layer):
    """Zeroes each number with probability `rate` and divides the others by 1 - rate, only while training. Items of any shape."""

    model_config = shown(type="dropout", rate=0.5)

    type: Literal["dropout"] = "dropout"
    rate: Annotated[float, Field(ge=0, lt=1, description="With which probability a number is zeroed.")]

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        if not plan.training or self.rate == 0:
            return x
        y = plan.value(*x.shape)._replace(mask=x.mask)
        choice = (x.size, plan.random_layer(), round(self.rate * 2**32), plan.constant(1 / (1 - self.rate)))
        plan.forward.append((dropout, x.at, y.at, *choice))
        if x.gradient != NOWHERE:
            plan.backward.append([(dropout, y.gradient, x.gradient, *choice)])
        return y


@kernel
def dropout(op: Op, arena: Array, integers: Array) -> None:
    """y = x / (1 - rate), or 0. Backward runs it from the gradient of y to that of x: the choice is the same within a step."""
    x_at, y_at, item_size, layer, limit, scale_at = op[:6]
    size = integers[ROWS] * item_size
    x, y, scale, zero, u64 = view(arena, x_at, size), view(arena, y_at, size), arena[scale_at], arena.dtype.type(0), np.uint64
    key = (
        u64(integers[SEED]) * u64(0x9E3779B97F4A7C15) + u64(integers[STEP]) * u64(0xD1B54A32D192ED03) + u64(layer) * u64(0x8CB92BA72F3D8DD7)
    )
    key = (key ^ (key >> u64(32))) * u64(0xBF58476D1CE4E5B9)
    before = u64(integers[FIRST_ROW] * item_size)  # elements of the step that were in other batches
    for i in range(size):
        bits = key + (before + u64(i)) * u64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> u64(27))) * u64(0x94D049BB133111EB)
        y[i] = x[i] * scale if ((bits ^ (bits >> u64(31))) >> u64(32)) >= u64(limit) else zero
