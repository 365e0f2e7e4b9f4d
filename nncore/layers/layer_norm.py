"""y = weight * (x - mean) / sqrt(variance + epsilon) + bias: every item is brought to mean 0 and variance 1 by itself.

Mean and variance (divided by the count, not one less) are of the last `axes` axes of an item: with 1, of the features of a vector, and of
each step of a sequence by itself. weight and bias have the shape of those axes and are 1 and 0 at first: torch.nn.LayerNorm. Unlike
batch_norm it computes the same in training and in use, and knows nothing of the other rows of a batch.

Source: Ba, Kiros, Hinton, "Layer normalization" (2016), arXiv 1607.06450.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.initialisers import Constant
from nncore.layers.given import Given, check_given
from nncore.layers.layer import Layer, Shape
from nncore.machine.kernels import ROWS, Array, Op, clear, kernel, view
from nncore.machine.plan import NOWHERE, Place, Plan, Value

Epsilon = Annotated[float, Field(ge=1e-12, le=1, description="Added to the variance, so that equal numbers divide by no zero.")]


class LayerNorm(Layer):
    """Brings each item to mean 0 and variance 1 over its last axes, then weight * that + bias: torch.nn.LayerNorm. Shapes stay."""

    model_config = shown(type="layer_norm")

    type: Literal["layer_norm"] = "layer_norm"
    given_names: ClassVar[tuple[str, ...]] = ("weight", "bias")
    axes: Annotated[int, Field(ge=1, le=8, description="How many of the last axes of an item are normalised together.")] = 1
    epsilon: Epsilon = 1e-5
    affine: Annotated[bool, Field(description="Whether a weight and a bias are learned.")] = True
    weight: Annotated[Given | None, Field(description="Of the shape of those axes. Default: ones.")] = None
    bias: Annotated[Given | None, Field(description="Of the shape of those axes. Default: zeros.")] = None

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < self.axes or min(input_shape) < 1:
            wanted = f"at least {self.axes} axis" if self.axes == 1 else f"at least {self.axes} axes"
            message = (
                f"a layer_norm layer over {self.axes} axes takes items of {wanted}, got items of shape {list(input_shape)}; lower axes"
            )
            raise InvalidSpec(Fault("/axes", "shape_mismatch", message, wanted, str(list(input_shape))))
        check_given(self, **dict.fromkeys(self.given_names, input_shape[-self.axes :] if self.affine else None))
        return input_shape

    def lower(self, plan: Plan, x: Value) -> Value:
        shape = self.output_shape(x.shape)[-self.axes :]
        weight, bias = affine_places(self, plan, plan.module(), shape)
        y, width = plan.value(*x.shape), prod(shape)
        runs = x.size // width
        sizes = (plan.workspace(2 * runs), runs, width)
        plan.forward.append((layer_norm_forward, x.at, weight[0], bias[0], y.at, *sizes, plan.constant(self.epsilon)))
        if plan.gradients:
            plan.backward.append([(layer_norm_backward, x.at, x.gradient, *weight, bias[1], y.gradient, *sizes)])
        return y._replace(mask=x.mask)


class Affine(Protocol):
    """A layer that may learn a weight and a bias."""

    @property
    def affine(self) -> bool: ...

    @property
    def weight(self) -> list[Any] | None: ...

    @property
    def bias(self) -> list[Any] | None: ...


def affine_places(layer: Affine, plan: Plan, module: str, shape: Shape) -> list[tuple[Place | int, Place | int]]:
    """Where weight (1 at first) and bias (0) of a normalisation lie, and their gradients; NOWHERE without them. They never decay."""
    places: list[tuple[Place | int, Place | int]] = []
    for name, first in (("weight", 1.0), ("bias", 0.0)):
        if layer.affine:
            found = plan.parameter(f"{module}.{name}", shape, 0.0, getattr(layer, name), Constant(value=first), decays=False)
            places.append((found.at, found.gradient))
        else:
            places.append((NOWHERE, NOWHERE))
    return places


@kernel
def layer_norm_forward(op: Op, arena: Array, integers: Array) -> None:
    """Keeps mean and 1 / deviation of every run of numbers for backward."""
    x_at, weight_at, bias_at, y_at, kept_at, runs_per_item, width, epsilon_at = op[:8]
    runs, zero, one = integers[ROWS] * runs_per_item, arena.dtype.type(0), arena.dtype.type(1)
    x, y, kept = view(arena, x_at, runs, width), view(arena, y_at, runs, width), view(arena, kept_at, runs, 2)
    count, epsilon, affine = arena.dtype.type(width), arena[epsilon_at], weight_at >= 0
    weight, bias = view(arena, weight_at if affine else x_at, width), view(arena, bias_at if affine else x_at, width)
    for run in range(runs):
        numbers, out, total, squares = x[run], y[run], zero, zero
        for j in range(width):
            total += numbers[j]
        mean = total / count
        for j in range(width):
            apart = numbers[j] - mean
            squares += apart * apart
        inverse = one / np.sqrt(squares / count + epsilon)
        kept[run, 0], kept[run, 1] = mean, inverse
        if affine:
            for j in range(width):
                out[j] = (numbers[j] - mean) * inverse * weight[j] + bias[j]
        else:
            for j in range(width):
                out[j] = (numbers[j] - mean) * inverse


@kernel
def layer_norm_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = (g - mean(g) - z mean(g z)) / deviation; g = weight dy, z: the normalised numbers. dweight = dy z, dbias = dy, summed."""
    x_at, dx_at, weight_at, dweight_at, dbias_at, dy_at, kept_at, runs_per_item, width = op[:9]
    runs, zero, one = integers[ROWS] * runs_per_item, arena.dtype.type(0), arena.dtype.type(1)
    x, dy, kept = view(arena, x_at, runs, width), view(arena, dy_at, runs, width), view(arena, kept_at, runs, 2)
    share, affine = one / arena.dtype.type(width), weight_at >= 0
    weight = view(arena, weight_at if affine else x_at, width)
    dweight, dbias = view(arena, dweight_at if affine else dy_at, width), view(arena, dbias_at if affine else dy_at, width)
    if affine:
        clear(dweight)
        clear(dbias)
    for run in range(runs):
        numbers, slope, mean, inverse = x[run], dy[run], kept[run, 0], kept[run, 1]
        if affine:
            for j in range(width):
                dweight[j] += slope[j] * (numbers[j] - mean) * inverse
                dbias[j] += slope[j]
            for j in range(width):
                slope[j] *= weight[j]
        if dx_at >= 0:
            dx, total, along = view(arena, dx_at, runs, width)[run], zero, zero
            for j in range(width):
                total += slope[j]
                along += slope[j] * (numbers[j] - mean)
            total *= share
            along *= share * inverse * inverse
            for j in range(width):
                dx[j] = (slope[j] - total - (numbers[j] - mean) * along) * inverse
