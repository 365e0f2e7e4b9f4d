"""y[o] = activation(sum over c of W[o, c] * x[c] + b[o]): the same small window of weights slides over a sequence or a picture.

conv1d takes items (channels, length), conv2d (channels, height, width). W has the shape (filters, channels / groups, *kernel_size), b
(filters,), as in torch.nn.Conv1d and Conv2d ("convolution" is cross-correlation there, too, and here). With `groups`, the channels and the
filters are cut into as many parts, and each filter sees only its part. Initial parameters are uniform in +-1/sqrt(numbers in a window).

The windows of some rows of some items are copied side by side into columns (im2col, see columns.py), so that one matrix product does the
work; they are so few that the columns stay in the cache (columns of a whole batch were 1.4 times slower, and took most of the memory).

Source: LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998); Dumoulin and Visin, arXiv 1603.07285.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from nncore.activations import ACTIVATION_CODES, ElementwiseName, activate, activate_backward
from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.faults import counted
from nncore.initialisers import BiasInitialiser, WeightInitialiser
from nncore.layers.activation import SLOPE_OF_STEP, applied_in_place, lower_activation
from nncore.layers.columns import gather_columns, turn, turn_back
from nncore.layers.given import Given, check_given
from nncore.layers.layer import Layer, Shape
from nncore.layers.windows import GEOMETRY, Axis, Dilation, KernelSize, Padding, Stride, area_of, axes_of, geometry_of
from nncore.machine.kernels import ROWS, Array, Op, jit, kernel, view
from nncore.machine.plan import NOWHERE, Place, Plan, Value

TILE_NUMBERS = 2**16
"""Columns of so many numbers at a time: 256 KiB of float32."""
TURNED = 16
"""So many items are turned at a time, where a row has fewer windows than that."""


class Convolution(Layer):
    """What both have in common. stride, dilation, kernel_size: one number, or one for each axis. See windows.py for the padding."""

    dimensions: ClassVar[int]
    given_names: ClassVar[tuple[str, ...]] = ("weight", "bias")
    must_be_given: ClassVar[tuple[str, ...]] = ("weight",)

    filters: Annotated[int, Field(ge=1, le=2**24, description="How many channels come out.")]
    kernel_size: KernelSize
    stride: Stride = 1
    padding: Padding = "valid"
    dilation: Dilation = 1
    groups: Annotated[
        int, Field(ge=1, le=2**24, description="Parts into which channels and filters are cut: a filter sees the channels of its part.")
    ] = 1
    activation: Annotated[ElementwiseName, Field(description="What is applied to every output.")] = "linear"
    use_bias: Annotated[bool, Field(description="Whether there is a bias.")] = True
    weight: Annotated[Given | None, Field(description="Of shape (filters, channels / groups, *kernel_size). Default: drawn.")] = None
    bias: Annotated[Given | None, Field(description="Of shape (filters,). Default: drawn.")] = None
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
        run, rows = axes[-1].outputs, area // axes[-1].outputs
        tile = max(1, 1 if run >= TURNED else min(plan.rows, TURNED, TILE_NUMBERS // (depth * run)))
        band = max(1, min(rows, TILE_NUMBERS // (depth * run * tile)))
        padded = x.shape[0] * prod(axis.padded for axis in axes)
        scratch = plan.scratch(2 * padded * tile + (depth + filters) * tile * band * run + filters * depth)
        code = ACTIVATION_CODES[self.activation if applied_in_place(self.activation) else "linear"]
        sizes = (scratch, plan.whole_constant(*geometry_of(x.shape[0], axes)), self.filters, self.groups, tile, band, code)
        plan.forward.append((convolution_forward, x.at, weight.at, bias_at, y.at, *sizes))
        if plan.gradients:
            gradients = (x.at, x.gradient, weight.at, weight.gradient, bias_gradient, y.at, y.gradient)
            plan.backward.append([(convolution_backward, *gradients, *sizes)])
        return y if applied_in_place(self.activation) else lower_activation(plan, y, self.activation)


class Conv1d(Convolution):
    """A window of weights slides along a sequence: (channels, length) becomes (filters, windows)."""

    model_config = shown(type="conv1d", filters=16, kernel_size=5, padding="same", activation="relu")

    dimensions = 1
    type: Literal["conv1d"] = "conv1d"


class Conv2d(Convolution):
    """A window of weights slides over a picture: (channels, height, width) becomes (filters, windows down, windows across)."""

    model_config = shown(type="conv2d", filters=16, kernel_size=3, padding="same", activation="relu")

    dimensions = 2
    type: Literal["conv2d"] = "conv2d"


@kernel
def convolution_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = activation(W * x + b): a tile of items at a time, group by group, a band of rows of windows at a time."""
    x_at, weight_at, bias_at, y_at, scratch_at, geometry_at, filters, groups, tile, band, code = op[:11]
    g = view(integers, geometry_at, GEOMETRY)
    channels, height, length, tall, wide, rows, width, high, long = g[0], g[1], g[2], g[3], g[4], g[11], g[12], g[13], g[14]
    area, inner, outer, items = rows * width, channels // groups, filters // groups, integers[ROWS]
    depth, item, padded = inner * tall * wide, channels * height * length, channels * high * long
    columns_at = scratch_at + padded * tile
    product_at = columns_at + depth * band * width * tile
    for first in range(0, items, tile):
        images = min(tile, items - first)
        plain = (images == 1) & (padded == item)
        at, direct = x_at + first * item if plain else scratch_at, (images == 1) & (band == rows)
        if not plain:
            _turn_tile(False, arena, x_at + first * item, scratch_at, images, g)
        y = view(arena, y_at + first * filters * area, images, filters, area)
        for group in range(groups):
            weight = view(arena, weight_at + group * outer * depth, outer, depth)
            for above in range(0, rows, band):
                few = min(band, rows - above)
                places = few * width
                windows = view(arena, columns_at, inner, tall, wide, few, width, images)
                gather_columns(False, view(arena, at, padded * images), group * inner, above, windows, g)
                to = y_at + (first * filters + group * outer) * area if direct else product_at
                product = view(arena, to, outer, places * images)
                np.dot(weight, view(arena, columns_at, depth, places * images), product)
                if bias_at >= 0:
                    bias = view(arena, bias_at + group * outer, outer)
                    for channel in range(outer):
                        b = bias[channel]
                        for j in range(places * images):
                            product[channel, j] += b
                activate(code, product)
                spread = view(arena, to, outer, places, images)
                for channel in range(0 if direct else outer):
                    for image in range(images):
                        for j in range(places):
                            y[image, group * outer + channel, above * width + j] = spread[channel, j, image]


@kernel
def convolution_backward(op: Op, arena: Array, integers: Array) -> None:
    """Overwrites the gradient of y with that of the pre-activations; then dW, db and (where wanted) dx."""
    x_at, dx_at, weight_at, dweight_at, dbias_at, y_at, dy_at, scratch_at, geometry_at, filters, groups, tile, band, code = op[:14]
    g = view(integers, geometry_at, GEOMETRY)
    channels, height, length, tall, wide, rows, width, high, long = g[0], g[1], g[2], g[3], g[4], g[11], g[12], g[13], g[14]
    area, inner, outer, items, zero = rows * width, channels // groups, filters // groups, integers[ROWS], arena.dtype.type(0)
    depth, item, padded = inner * tall * wide, channels * height * length, channels * high * long
    columns_at = scratch_at + padded * tile
    delta_at = columns_at + depth * band * width * tile
    part_at = delta_at + outer * band * width * tile
    turned_slope_at = part_at + outer * depth
    view(arena, dweight_at, filters * depth)[:] = zero
    if dbias_at >= 0:
        view(arena, dbias_at, filters)[:] = zero
    for first in range(0, items, tile):
        images = min(tile, items - first)
        plain, direct = (images == 1) & (padded == item), (images == 1) & (band == rows)
        at, slope_at = (x_at + first * item, dx_at + first * item) if plain else (scratch_at, turned_slope_at)
        dy_here = view(arena, dy_at + first * filters * area, images * filters, area)
        activate_backward(code, view(arena, y_at + first * filters * area, images * filters, area), dy_here)
        dy = view(dy_here, 0, images, filters, area)
        if not plain:
            _turn_tile(False, arena, x_at + first * item, scratch_at, images, g)
        if dx_at >= 0:
            view(arena, slope_at, padded * images)[:] = zero
        for group in range(groups):
            for above in range(0, rows, band):
                few = min(band, rows - above)
                places = few * width
                delta_here = dy_at + (first * filters + group * outer) * area if direct else delta_at
                delta, spread = view(arena, delta_here, outer, places * images), view(arena, delta_here, outer, places, images)
                for channel in range(0 if direct else outer):
                    for image in range(images):
                        for j in range(places):
                            spread[channel, j, image] = dy[image, group * outer + channel, above * width + j]
                if dbias_at >= 0:
                    dbias = view(arena, dbias_at + group * outer, outer)
                    for channel in range(outer):
                        total = zero
                        for j in range(places * images):
                            total += delta[channel, j]
                        dbias[channel] += total
                columns = view(arena, columns_at, depth, places * images)
                windows = view(arena, columns_at, inner, tall, wide, few, width, images)
                gather_columns(False, view(arena, at, padded * images), group * inner, above, windows, g)
                part = view(arena, part_at, outer * depth)
                np.dot(delta, columns.T, view(part, 0, outer, depth))
                dweight = view(arena, dweight_at + group * outer * depth, outer * depth)
                for j in range(outer * depth):
                    dweight[j] += part[j]
                if dx_at >= 0:
                    np.dot(view(arena, weight_at + group * outer * depth, outer, depth).T, delta, columns)
                    gather_columns(True, view(arena, slope_at, padded * images), group * inner, above, windows, g)
        if dx_at >= 0 and not plain:
            _turn_tile(True, arena, dx_at + first * item, turned_slope_at, images, g)


@jit
def _turn_tile(back: bool, arena: Array, x_at: int, turned_at: int, images: int, g: Array) -> None:
    """Turn the items of a tile, or turn them back. Without padding a channel is one long row."""
    channels, height, length, top, left, high, long = g[0], g[1], g[2], g[9], g[10], g[13], g[14]
    if (high == height) & (long == length):
        height, length, high, long = 1, height * length, 1, high * long
    x, turned = view(arena, x_at, images, channels, height, length), view(arena, turned_at, channels, high, long, images)
    if back:
        turn_back(turned, x, top, left)
    else:
        turn(x, turned, top, left)
