"""An item is turned around along one axis, with a probability: a picture and its mirror image show the same.

{"type": "flip"}                                  mirrored left to right, every other row
{"type": "flip", "shape": [28, 28], "axis": 0}    upside down, where a picture comes as one line of 784 numbers
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.augment.augmentation import Spatial
from nncore.augment.draws import bits_of, key_of
from nncore.definition import shown
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import Plan, Value


class Flip(Spatial):
    """For pictures and signals whose direction says nothing."""

    model_config = shown(type="flip")

    type: Literal["flip"] = "flip"
    axis: Annotated[int, Field(ge=-8, le=7, description="Of the item; -1 is the last: left and right of a picture.")] = -1
    probability: Annotated[float, Field(ge=0, le=1, description="With which a row is turned around.")] = 0.5

    def unfit_shape(self, shape: tuple[int, ...]) -> tuple[str, str] | None:
        if not -len(shape) <= self.axis < len(shape):
            return "axis", f"expected an axis from {-len(shape)} to {len(shape) - 1} for items of shape {list(shape)}, got {self.axis}"
        return None

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.forward.append((flip, x.at, *self.around(self.axis), plan.random_layer(), round(self.probability * 2**32)))
        return x


@kernel
def flip(op: Op, arena: Array, integers: Array) -> None:
    """In place."""
    x_at, runs, length, width, number, limit = op[:6]
    rows, key, u64 = integers[ROWS], key_of(integers, number), np.uint64
    x = view(arena, x_at, rows, runs, length, width)
    for row in range(rows):
        if (bits_of(key, row) >> u64(32)) < u64(limit):
            for run in range(runs):
                items = x[row, run]
                for i in range(length // 2):
                    for j in range(width):
                        kept = items[i, j]
                        items[i, j] = items[length - 1 - i, j]
                        items[length - 1 - i, j] = kept
