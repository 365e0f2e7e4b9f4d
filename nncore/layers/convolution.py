"""y[o] = activation(sum over c of W[o, c] * x[c] + b[o]): the same small window of weights slides over a sequence or a picture.

conv1d takes items (channels, length), conv2d (channels, height, width). W has the shape (filters, channels / groups, *kernel_size), b
(filters,), as in torch.nn.Conv1d and Conv2d ("convolution" is cross-correlation there, too, and here). With `groups`, the channels and the
filters are cut into as many parts, and each filter sees only its part. Initial parameters are uniform in +-1/sqrt(numbers in a window).

The windows of a few items at a time are copied side by side into columns (im2col), so that one matrix product does the work; they are so
few that the columns stay in the cache (columns of a whole batch were 1.4 times slower, and took most of the memory).

Source: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998); Dumoulin and Visin, arXiv 1603.07285.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from nncore.activations import ACTIVATION_CODES, ElementwiseName, activate, activate_backward
from nncore.errors import Fault, InvalidSpec
from nncore.faults import counted
from nncore.initialisers import BiasInitialiser, WeightInitialiser
from nncore.layers.activation import SLOPE_OF_STEP, applied_in_place, lower_activation
from nncore.layers.given import Given, check_given
from nncore.layers.layer import Layer, Shape
from nncore.layers.windows import GEOMETRY, Axis, Padding, PerAxis, area_of, axes_of, geometry_of
from nncore.machine.kernels import ROWS, Array, Op, jit, kernel, view
from nncore.machine.plan import NOWHERE, Place, Plan, Value

TILE_NUMBERS = 2**15
"""Columns of so many numbers at a time: 128 KiB of float32."""


class Convolution(Layer):
    """What both have in common. stride, dilation, kernel_size: one number, or one for each axis. See windows.py for the padding."""

    dimensions: ClassVar[int]
    given_names: ClassVar[tuple[str, ...]] = ("weight", "bias")
    must_be_given: ClassVar[tuple[str, ...]] = ("weight",)

    filters: Annotated[int, Field(ge=1, le=2**24)]
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: Padding = "valid"
    dilation: PerAxis = 1
    groups: Annotated[int, Field(ge=1, le=2**24)] = 1
    activation: ElementwiseName = "linear"
    use_bias: bool = True
    weight: Given | None = None
    bias: Given | None = None
    initialiser: Annotated[WeightInitialiser | None, Field(description="How the weight is drawn.")] = None
    bias_initialiser: Annotated[BiasInitialiser | None, Field(description="How the bias is drawn.")] = None

    def output_shape(self, input_shape: Shape) -> Shape:
        axes = self._axes(input_shape)
        weight = (self.filters, input_shape[0] // self.groups, *(axis.kernel for axis in axes))
        check_given(self, weight=weight, bias=(self.filters,) if self.use_bias else None)
        return (self.filters, *(axis.outputs for axis in axes))

    def relu_axis(self) -> int | None:
        return 0 if self.activation == "relu" else None

    def untrainable(self) -> str | None:
        return SLOPE_OF_STEP if self.activation == "step" else None

    def _axes(self, input_shape: Shape) -> list[Axis]:
        name = f"conv{self.dimensions}d"
        axes = axes_of(name, input_shape, [self.dimensions], self.kernel_size, self.stride, self.padding, self.dilation)
        channels = f"{counted(input_shape[0], 'channel')} come{'s' if input_shape[0] == 1 else ''} in"
        filters = f"{counted(self.filters, 'filter')} {'is' if self.filters == 1 else 'are'} wanted"
        for what, count in ((channels, input_shape[0]), (filters, self.filters)):
            if count % self.groups:
                message = (
                    f"a {name} layer of {self.groups:,} groups takes as many channels and filters, or a multiple, "
                    f"but {what}; choose groups that divide both"
                )
                raise InvalidSpec(Fault("/groups", "groups_do_not_divide", message, f"a divisor of {count:,}", f"{self.groups:,}"))
        return axes

    def lower(self, plan: Plan, x: Value) -> Value:
        axes, shape = self._axes(x.shape), self.output_shape(x.shape)
        channels, filters = x.shape[0] // self.groups, self.filters // self.groups
        depth, area = channels * prod(axis.kernel for axis in axes), area_of(axes)
        module, bound = plan.module(), depth**-0.5
        places = (self.filters, channels, *(axis.kernel for axis in axes))
        weight = plan.parameter(f"{module}.weight", places, bound, self.weight, self.initialiser)
        bias_at: Place | int = NOWHERE
        bias_gradient: Place | int = NOWHERE
        if self.use_bias:
            bias = plan.parameter(f"{module}.bias", (self.filters,), bound, self.bias, self.bias_initialiser)
            bias_at, bias_gradient = bias.at, bias.gradient
        if self.activation != "linear":
            plan.module()
        y = plan.value(*shape)
        tile = max(1, min(plan.rows, TILE_NUMBERS // (area * depth)))
        padded = x.shape[0] * prod(axis.padded for axis in axes) if any(axis.padded > axis.length for axis in axes) else 0
        scratch = plan.scratch((depth + filters) * tile * area + filters * depth + 2 * tile * padded)
        code = ACTIVATION_CODES[self.activation if applied_in_place(self.activation) else "linear"]
        sizes = (scratch, plan.whole_constant(*geometry_of(x.shape[0], axes)), self.filters, self.groups, tile, code)
        plan.forward.append((convolution_forward, x.at, weight.at, bias_at, y.at, *sizes))
        if plan.gradients:
            gradients = (x.at, x.gradient, weight.at, weight.gradient, bias_gradient, y.at, y.gradient)
            plan.backward.append([(convolution_backward, *gradients, *sizes)])
        return y if applied_in_place(self.activation) else lower_activation(plan, y, self.activation)


class Conv1d(Convolution):
    """A window of weights slides along a sequence: (channels, length) becomes (filters, windows)."""

    dimensions = 1
    type: Literal["conv1d"] = "conv1d"


class Conv2d(Convolution):
    """A window of weights slides over a picture: (channels, height, width) becomes (filters, windows down, windows across)."""

    dimensions = 2
    type: Literal["conv2d"] = "conv2d"


@jit
def _columns(back: bool, x: Array, first: int, columns: Array, g: Array) -> None:
    """columns[channel, ki, kj, image, i, j] = x[image, first + channel, i stride + ki dilation, j stride + kj dilation].

    x is padded. back: each is added to where it came from instead. Windows without gaps have a loop of their own: only where the compiler
    sees that no index is negative it copies several numbers at a time.
    """
    channels, tall, wide, images, rows, width = columns.shape
    stride, across, dilation, apart = g[5], g[6], g[7], g[8]
    dense = (stride == 1) & (across == 1) & (dilation == 1) & (apart == 1)
    for channel in range(channels):
        for ki in range(tall):
            for kj in range(wide):
                for image in range(images if dense else 0):
                    for i in range(rows):
                        for j in range(width if back else 0):
                            x[image, first + channel, i + ki, j + kj] += columns[channel, ki, kj, image, i, j]
                        for j in range(0 if back else width):
                            columns[channel, ki, kj, image, i, j] = x[image, first + channel, i + ki, j + kj]
                for image in range(0 if dense else images):
                    for i in range(rows):
                        down, right = i * stride + ki * dilation, kj * apart
                        for j in range(width if back else 0):
                            x[image, first + channel, down, j * across + right] += columns[channel, ki, kj, image, i, j]
                        for j in range(0 if back else width):
                            columns[channel, ki, kj, image, i, j] = x[image, first + channel, down, j * across + right]


@jit
def _pad(x: Array, padded: Array, top: int, left: int) -> None:
    """padded (planes, height, length) = x (planes, ...) with zeros around it."""
    planes, height, length = x.shape
    padded[:] = padded.dtype.type(0)
    for plane in range(planes):
        for i in range(height):
            for j in range(length):
                padded[plane, i + top, j + left] = x[plane, i, j]


@kernel
def convolution_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = activation(W * x + b), a tile of items at a time, group by group."""
    x_at, weight_at, bias_at, y_at, scratch_at, geometry_at, filters, groups, tile, code = op[:10]
    g = view(integers, geometry_at, GEOMETRY)
    channels, height, length, tall, wide, rows, width = g[0], g[1], g[2], g[3], g[4], g[11], g[12]
    area, inner, outer, item = rows * width, channels // groups, filters // groups, channels * height * length
    depth, items, high, long = inner * tall * wide, integers[ROWS], g[13], g[14]
    padding = (high > height) | (long > length)
    padded_at = scratch_at + (depth + outer) * tile * area + outer * depth
    for first in range(0, items, tile):
        images = min(tile, items - first)
        if padding:
            planes = images * channels
            _pad(view(arena, x_at + first * item, planes, height, length), view(arena, padded_at, planes, high, long), g[9], g[10])
        x = view(arena, padded_at if padding else x_at + first * item, images, channels, high, long)
        y = view(arena, y_at + first * filters * area, images, filters, area)
        product_at = y_at + first * filters * area if images == 1 else scratch_at + depth * images * area
        for group in range(groups):
            _columns(False, x, group * inner, view(arena, scratch_at, inner, tall, wide, images, rows, width), g)
            weight = view(arena, weight_at + group * outer * depth, outer, depth)
            if images == 1:
                product_at = y_at + (first * filters + group * outer) * area
            np.dot(weight, view(arena, scratch_at, depth, images * area), view(arena, product_at, outer, images * area))
            product = view(arena, product_at, outer, images, area)
            for channel in range(outer if images > 1 else 0):
                for image in range(images):
                    for j in range(area):
                        y[image, group * outer + channel, j] = product[channel, image, j]
        if bias_at >= 0:
            bias = view(arena, bias_at, filters)
            for image in range(images):
                for channel in range(filters):
                    b = bias[channel]
                    for j in range(area):
                        y[image, channel, j] += b
        activate(code, y.reshape(images * filters, area))


@kernel
def convolution_backward(op: Op, arena: Array, integers: Array) -> None:
    """Overwrites the gradient of y with that of the pre-activations; then dW, db and (where wanted) dx."""
    x_at, dx_at, weight_at, dweight_at, dbias_at, y_at, dy_at, scratch_at, geometry_at, filters, groups, tile, code = op[:13]
    g = view(integers, geometry_at, GEOMETRY)
    channels, height, length, tall, wide, rows, width = g[0], g[1], g[2], g[3], g[4], g[11], g[12]
    area, inner, outer, item = rows * width, channels // groups, filters // groups, channels * height * length
    depth, items, zero, high, long = inner * tall * wide, integers[ROWS], arena.dtype.type(0), g[13], g[14]
    padding = (high > height) | (long > length)
    padded_at = scratch_at + (depth + outer) * tile * area + outer * depth
    dweight = view(arena, dweight_at, filters * depth)
    dweight[:] = 0
    if dbias_at >= 0:
        view(arena, dbias_at, filters)[:] = 0
    for first in range(0, items, tile):
        images = min(tile, items - first)
        y = view(arena, y_at + first * filters * area, images * filters, area)
        activate_backward(code, y, view(arena, dy_at + first * filters * area, images * filters, area))
        dy = view(arena, dy_at + first * filters * area, images, filters, area)
        if dbias_at >= 0:
            dbias = view(arena, dbias_at, filters)
            for channel in range(filters):
                total = zero
                for image in range(images):
                    for j in range(area):
                        total += dy[image, channel, j]
                dbias[channel] += total
        planes = images * channels
        dx_into = padded_at + tile * channels * high * long if padding else dx_at + first * item
        if padding:
            _pad(view(arena, x_at + first * item, planes, height, length), view(arena, padded_at, planes, high, long), g[9], g[10])
        if dx_at >= 0:
            view(arena, dx_into, planes * high * long)[:] = 0
        x = view(arena, padded_at if padding else x_at + first * item, images, channels, high, long)
        columns, spread = view(arena, scratch_at, depth, images * area), view(arena, scratch_at, inner, tall, wide, images, rows, width)
        for group in range(groups):
            delta_at = dy_at + (first * filters + group * outer) * area if images == 1 else scratch_at + depth * images * area
            delta, product = view(arena, delta_at, outer, images, area), view(arena, delta_at, outer, images * area)
            for channel in range(outer if images > 1 else 0):
                for image in range(images):
                    for j in range(area):
                        delta[channel, image, j] = dy[image, group * outer + channel, j]
            _columns(False, x, group * inner, spread, g)
            part = view(arena, scratch_at + (depth + outer) * images * area, outer * depth)
            np.dot(product, columns.T, part.reshape(outer, depth))
            total_weight = view(arena, dweight_at + group * outer * depth, outer * depth)
            for j in range(outer * depth):
                total_weight[j] += part[j]
            if dx_at >= 0:
                np.dot(view(arena, weight_at + group * outer * depth, outer, depth).T, product, columns)
                _columns(True, view(arena, dx_into, images, channels, high, long), group * inner, spread, g)
        if padding and dx_at >= 0:
            whole, dx = view(arena, dx_into, planes, high, long), view(arena, dx_at + first * item, planes, height, length)
            for plane in range(planes):
                for i in range(height):
                    for j in range(length):
                        dx[plane, i, j] = whole[plane, i + g[9], j + g[10]]
