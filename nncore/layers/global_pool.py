"""y = one number for each channel, whatever the size of its plane: the largest of all, or their mean.

Items (channels, length) or (channels, height, width) become (channels,): torch.nn.AdaptiveMaxPool2d(1), or AdaptiveAvgPool2d(1), and the
torch.nn.Flatten behind it. On a tie the first number takes the whole gradient. What comes before may then have any size.

Source: Lin, Chen, Yan, "Network in network" (2013), 3.2 (average).
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.layers.layer import Layer, Shape
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value


class GlobalPool(Layer):
    """One number of each channel: (channels, length) or (channels, height, width) becomes (channels,). No parameters."""

    model_config = shown(type="global_pool", kind="average")

    type: Literal["global_pool"] = "global_pool"
    kind: Annotated[Literal["max", "average"], Field(description="What is kept of a channel.")]

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2 or min(input_shape) < 1:
            wanted = "(channels, length) or (channels, height, width)"
            message = f"a global_pool layer takes items of shape {wanted}, got items of shape {list(input_shape)}"
            message += '; put {"type": "reshape"} before it'
            raise InvalidSpec(Fault("", "shape_mismatch", message, wanted, str(list(input_shape))))
        return (input_shape[0],)

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        plan.module()  # in torch.nn.Sequential the pool leaves axes of length 1, and a Flatten takes them away
        y, sizes = plan.value(*self.output_shape(x.shape)), (prod(x.shape[1:]), int(self.kind == "max"))
        plan.forward.append((global_pool_forward, x.at, y.at, x.shape[0], *sizes))
        if x.gradient != NOWHERE:
            plan.backward.append([(global_pool_backward, x.at, x.gradient, y.at, y.gradient, x.shape[0], *sizes)])
        return y


@kernel
def global_pool_forward(op: Op, arena: Array, integers: Array) -> None:
    """y (planes,) = max or mean of each plane. A NaN in it comes out."""
    x_at, y_at, channels, area, largest = op[:5]
    planes, zero = integers[ROWS] * channels, arena.dtype.type(0)
    x, y, share = view(arena, x_at, planes, area), view(arena, y_at, planes), arena.dtype.type(1) / arena.dtype.type(area)
    for plane in range(planes):
        numbers = x[plane]
        if largest:
            best = numbers[0]
            for j in range(area):
                value = numbers[j]
                best = value if (value > best) | (value != value) else best
            y[plane] = best
        else:
            total = zero
            for j in range(area):
                total += numbers[j]
            y[plane] = total * share


@kernel
def global_pool_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = dy at the first of the largest, or shared by all."""
    x_at, dx_at, y_at, dy_at, channels, area, largest = op[:7]
    planes, zero = integers[ROWS] * channels, arena.dtype.type(0)
    x, dx, share = view(arena, x_at, planes, area), view(arena, dx_at, planes, area), arena.dtype.type(1) / arena.dtype.type(area)
    y, dy = view(arena, y_at, planes), view(arena, dy_at, planes)
    for plane in range(planes):
        if largest:
            remaining, best = dy[plane], y[plane]
            for j in range(area):
                taken = remaining if x[plane, j] == best else zero
                dx[plane, j] = taken
                remaining -= taken
        else:
            part = dy[plane] * share
            for j in range(area):
                dx[plane, j] = part
