"""y = the largest number in each window: (channels, length) or (channels, height, width), each channel by itself.

Padding counts as minus infinity. On a tie the first number of the window takes the whole gradient, as in torch.nn.MaxPool1d and 2d.
`stride` is the kernel's size if it is not given.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from nncore.definition import shown
from nncore.layers.layer import Layer, Shape
from nncore.layers.windows import (
    GEOMETRY,
    Axis,
    Dilation,
    KernelSize,
    Padding,
    PoolStride,
    axes_of,
    geometry_of,
    halved,
    reach,
    refuse_empty_windows,
)
from nncore.machine.kernels import ROWS, Array, Op, clear, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value


class MaxPool(Layer):
    """The largest number of each window: (channels, length) or (channels, height, width), each channel by itself. No parameters."""

    model_config = shown(type="max_pool", kernel_size=2)

    type: Literal["max_pool"] = "max_pool"
    kernel_size: KernelSize
    stride: PoolStride = None
    padding: Padding = "valid"
    dilation: Dilation = 1

    def output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *(axis.outputs for axis in self._axes(input_shape)))

    def _axes(self, input_shape: Shape) -> list[Axis]:
        stride = self.kernel_size if self.stride is None else self.stride
        axes = axes_of("max_pool", input_shape, (1, 2), self.kernel_size, stride, self.padding, self.dilation)
        refuse_empty_windows("max_pool", axes)
        return axes

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        y, geometry = plan.value(*self.output_shape(x.shape)), plan.whole_constant(*geometry_of(x.shape[0], self._axes(x.shape)))
        plan.forward.append((max_pool_forward, x.at, y.at, geometry))
        if x.gradient != NOWHERE:
            plan.backward.append([(max_pool_backward, x.at, x.gradient, y.at, y.gradient, plan.scratch(y.shape[-1]), geometry)])
        return y


@kernel
def max_pool_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = max of the window, place by place of the window, for a row of windows at a time. A NaN in it comes out."""
    x_at, y_at, geometry_at = op[:3]
    g = view(integers, geometry_at, GEOMETRY)
    height, length, tall, wide, stride, across, dilation, apart = g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    top, left, rows, width = g[9], g[10], g[11], g[12]
    planes, lowest = integers[ROWS] * g[0], arena.dtype.type(-np.inf)
    x, y = view(arena, x_at, planes, height, length), view(arena, y_at, planes, rows, width)
    halves = halved(g)
    for plane in range(planes if halves else 0):
        for i in range(rows):
            for j in range(width):
                first, second = x[plane, 2 * i, 2 * j], x[plane, 2 * i, 2 * j + 1]
                third, fourth = x[plane, 2 * i + 1, 2 * j], x[plane, 2 * i + 1, 2 * j + 1]
                upper = second if (second > first) | (second != second) else first
                lower = fourth if (fourth > third) | (fourth != fourth) else third
                y[plane, i, j] = lower if (lower > upper) | (lower != lower) else upper
    for plane in range(0 if halves else planes):
        for i in range(rows):
            out = y[plane, i]
            for j in range(width):
                out[j] = lowest
            for ki in range(tall):
                down = i * stride + ki * dilation - top
                if down >= 0 and down < height:
                    source = x[plane, down]
                    for kj in range(wide):
                        low, high = reach(g, kj)
                        shift = kj * apart - left
                        for j in range(low, high):
                            value, best = source[j * across + shift], out[j]
                            out[j] = value if (value > best) | (value != value) else best


@kernel
def max_pool_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = dy at the first number of the window that is its largest, summed where windows overlap."""
    x_at, dx_at, y_at, dy_at, left_at, geometry_at = op[:6]
    g = view(integers, geometry_at, GEOMETRY)
    height, length, tall, wide, stride, across, dilation, apart = g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    top, left, rows, width = g[9], g[10], g[11], g[12]
    planes, zero = integers[ROWS] * g[0], arena.dtype.type(0)
    x, dx = view(arena, x_at, planes, height, length), view(arena, dx_at, planes, height, length)
    y, dy, remaining = view(arena, y_at, planes, rows, width), view(arena, dy_at, planes, rows, width), view(arena, left_at, width)
    halves = halved(g)
    if not halves or 2 * rows < height or 2 * width < length:
        clear(view(arena, dx_at, planes * height * length))
    for plane in range(planes if halves else 0):
        for i in range(rows):
            for j in range(width):
                best, whole = y[plane, i, j], dy[plane, i, j]
                first = whole if x[plane, 2 * i, 2 * j] == best else zero
                rest = whole - first
                second = rest if x[plane, 2 * i, 2 * j + 1] == best else zero
                rest -= second
                third = rest if x[plane, 2 * i + 1, 2 * j] == best else zero
                rest -= third
                dx[plane, 2 * i, 2 * j] = first
                dx[plane, 2 * i, 2 * j + 1] = second
                dx[plane, 2 * i + 1, 2 * j] = third
                dx[plane, 2 * i + 1, 2 * j + 1] = rest if x[plane, 2 * i + 1, 2 * j + 1] == best else zero
    for plane in range(0 if halves else planes):
        for i in range(rows):
            out = y[plane, i]
            for j in range(width):
                remaining[j] = dy[plane, i, j]
            for ki in range(tall):
                down = i * stride + ki * dilation - top
                if down >= 0 and down < height:
                    source, slope = x[plane, down], dx[plane, down]
                    for kj in range(wide):
                        low, high = reach(g, kj)
                        shift = kj * apart - left
                        for j in range(low, high):
                            taken = remaining[j] if source[j * across + shift] == out[j] else zero
                            slope[j * across + shift] += taken
                            remaining[j] -= taken
