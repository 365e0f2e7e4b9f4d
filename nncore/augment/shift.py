"""An item is moved by whole places along its last axes, each row by another number of them: what matters is there, wherever it stands.

`most` says how far along each of the last axes: [2] moves a signal, [2, 2] a picture, whose channels move together. Every number of places
from -most to most is as likely. What moves out is lost, what becomes empty is `fill`, in the units of the preprocessed inputs.

    {"type": "shift", "most": [2, 2]}
    {"type": "shift", "most": [10, 0]}    the time of a sequence (steps, features)
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field

from nncore.augment.augmentation import Spatial
from nncore.augment.draws import below, bits_of, key_of
from nncore.definition import shown
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value

Most = Annotated[int, Field(ge=0, le=2**20)]


class Shift(Spatial):
    """For pictures and signals in which things may stand anywhere."""

    model_config = shown(type="shift", most=[2, 2])

    type: Literal["shift"] = "shift"
    most: Annotated[list[Most], Field(min_length=1, max_length=2, description="The most places along each of the last axes.")]
    fill: Annotated[float, Field(ge=-1e30, le=1e30, description="What stands in the empty places.")] = 0.0

    def unfit_shape(self, shape: tuple[int, ...]) -> tuple[str, str] | None:
        if len(self.most) > len(shape):
            return "most", f"most is of {len(self.most)} axes, and items of shape {list(shape)} have {len(shape)}; leave one out"
        for most, size in zip(self.most, shape[-len(self.most) :], strict=True):
            if most >= size:
                return "most", f"an item of shape {list(shape)} moved by {most} places may be gone; take less than {size}"
        return None

    def lower(self, plan: Plan, x: Value) -> Value:
        sizes, two = self.sizes, len(self.most) == 2
        height, width = (sizes[-2] if two else 1), sizes[-1]
        planes = prod(sizes) // (height * width)
        y = Value(plan.workspace(x.size), NOWHERE, x.shape)
        far = (self.most[0] if two else 0, self.most[-1])
        plan.forward.append((shift, x.at, y.at, planes, height, width, *far, plan.random_layer(), plan.constant(self.fill)))
        return y


@kernel
def shift(op: Op, arena: Array, integers: Array) -> None:
    """y is x, moved."""
    x_at, y_at, planes, height, width, most_down, most_right, number, fill_at = op[:9]
    rows, key, fill = integers[ROWS], key_of(integers, number), arena[fill_at]
    x, y = view(arena, x_at, rows, planes, height, width), view(arena, y_at, rows, planes, height, width)
    for row in range(rows):
        down = below(bits_of(key, 2 * row), 2 * most_down + 1) - most_down
        right = below(bits_of(key, 2 * row + 1), 2 * most_right + 1) - most_right
        for plane in range(planes):
            for i in range(height):
                to = y[row, plane, i]
                for j in range(width):
                    to[j] = fill
                if 0 <= i - down < height:
                    first, count = max(0, right), width - abs(right)
                    line, part = x[row, plane, i - down, first - right :], to[first:]
                    for j in range(count):
                        part[j] = line[j]
