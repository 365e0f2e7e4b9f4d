"""y = the mean of each window: (channels, length) or (channels, height, width), each channel by itself.

`stride` is the kernel's size if it is not given. `count_include_pad`: whether padding is averaged, too, as zeros (the default of
torch.nn.AvgPool1d and 2d, whose padding is the same on both sides), or only what lies in the window counts (ONNX's default, and Keras).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
from nncore.machine.kernels import ROWS, Array, Op, clear, jit, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value


class AveragePool(Layer):
    """The mean of each window: (channels, length) or (channels, height, width), each channel by itself. No parameters."""

    model_config = shown(type="average_pool", kernel_size=2)

    type: Literal["average_pool"] = "average_pool"
    kernel_size: KernelSize
    stride: PoolStride = None
    padding: Padding = "valid"
    dilation: Dilation = 1
    count_include_pad: Annotated[bool, Field(description="Whether padding is averaged, too, as zeros.")] = True

    def output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *(axis.outputs for axis in self._axes(input_shape)))

    def _axes(self, input_shape: Shape) -> list[Axis]:
        stride = self.kernel_size if self.stride is None else self.stride
        axes = axes_of("average_pool", input_shape, (1, 2), self.kernel_size, stride, self.padding, self.dilation)
        refuse_empty_windows("average_pool", axes)
        return axes

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        y, geometry = plan.value(*self.output_shape(x.shape)), plan.whole_constant(*geometry_of(x.shape[0], self._axes(x.shape)))
        sizes = (plan.scratch(2 * y.shape[-1] + x.shape[-1]), geometry, int(self.count_include_pad))
        plan.forward.append((average_pool_forward, x.at, y.at, *sizes))
        if x.gradient != NOWHERE:
            plan.backward.append([(average_pool_backward, x.gradient, y.gradient, *sizes)])
        return y


@jit
def _shares(g: Array, include_pad: int, i: int, shares: Array) -> None:
    """shares (windows across,): what each number counts for in the windows of row i."""
    tall, wide, one = g[3], g[4], shares.dtype.type(1)
    if include_pad:
        for j in range(shares.size):
            shares[j] = one / shares.dtype.type(tall * wide)
    else:
        down = 0
        for ki in range(tall):
            at = i * g[5] + ki * g[7] - g[9]
            down += int((at >= 0) & (at < g[1]))
        clear(shares)
        for kj in range(wide):
            low, high = reach(g, kj)
            for j in range(low, high):
                shares[j] += shares.dtype.type(down)
        for j in range(shares.size):
            shares[j] = one / shares[j]


@kernel
def average_pool_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = mean of the window, for a row of windows at a time: summed down the columns first, then across."""
    x_at, y_at, scratch_at, geometry_at, include_pad = op[:5]
    g = view(integers, geometry_at, GEOMETRY)
    height, length, tall, wide, stride, across, dilation, apart = g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    top, left, rows, width = g[9], g[10], g[11], g[12]
    planes, zero, quarter = integers[ROWS] * g[0], arena.dtype.type(0), arena.dtype.type(0.25)
    x, y = view(arena, x_at, planes, height, length), view(arena, y_at, planes, rows, width)
    shares, column, halves = view(arena, scratch_at, width), view(arena, scratch_at + 2 * width, length), halved(g)
    for plane in range(planes if halves else 0):
        for i in range(rows):
            for j in range(width):
                upper = x[plane, 2 * i, 2 * j] + x[plane, 2 * i, 2 * j + 1]
                lower = x[plane, 2 * i + 1, 2 * j] + x[plane, 2 * i + 1, 2 * j + 1]
                y[plane, i, j] = (upper + lower) * quarter
    for i in range(0 if halves else rows):
        _shares(g, include_pad, i, shares)
        for plane in range(planes):
            out = y[plane, i]
            for j in range(length):
                column[j] = zero
            for ki in range(tall):
                down = i * stride + ki * dilation - top
                if down >= 0 and down < height:
                    source = x[plane, down]
                    for j in range(length):
                        column[j] += source[j]
            for j in range(width):
                out[j] = zero
            for kj in range(wide):
                low, high = reach(g, kj)
                shift = kj * apart - left
                for j in range(low, high):
                    out[j] += column[j * across + shift]
            for j in range(width):
                out[j] *= shares[j]


@kernel
def average_pool_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = what each number counts for in a window times its dy, summed where windows overlap: across first, then down the columns."""
    dx_at, dy_at, scratch_at, geometry_at, include_pad = op[:5]
    g = view(integers, geometry_at, GEOMETRY)
    height, length, tall, wide, stride, across, dilation, apart = g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    top, left, rows, width = g[9], g[10], g[11], g[12]
    planes, zero, quarter = integers[ROWS] * g[0], arena.dtype.type(0), arena.dtype.type(0.25)
    dx, dy = view(arena, dx_at, planes, height, length), view(arena, dy_at, planes, rows, width)
    shares, parts, halves = view(arena, scratch_at, width), view(arena, scratch_at + width, width), halved(g)
    column = view(arena, scratch_at + 2 * width, length)
    if not halves or 2 * rows < height or 2 * width < length:
        clear(view(arena, dx_at, planes * height * length))
    for plane in range(planes if halves else 0):
        for i in range(rows):
            for j in range(width):
                part = dy[plane, i, j] * quarter
                dx[plane, 2 * i, 2 * j] = part
                dx[plane, 2 * i, 2 * j + 1] = part
                dx[plane, 2 * i + 1, 2 * j] = part
                dx[plane, 2 * i + 1, 2 * j + 1] = part
    for i in range(0 if halves else rows):
        _shares(g, include_pad, i, shares)
        for plane in range(planes):
            for j in range(width):
                parts[j] = dy[plane, i, j] * shares[j]
            for j in range(length):
                column[j] = zero
            for kj in range(wide):
                low, high = reach(g, kj)
                shift = kj * apart - left
                for j in range(low, high):
                    column[j * across + shift] += parts[j]
            for ki in range(tall):
                down = i * stride + ki * dilation - top
                if down >= 0 and down < height:
                    slope = dx[plane, down]
                    for j in range(length):
                        slope[j] += column[j]
