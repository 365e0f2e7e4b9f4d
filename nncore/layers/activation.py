"""An activation as a layer of its own, y = f(x), element by element (softmax: along the last axis).

It is the same as the `activation` of a dense or convolutional layer; alone it stands behind layers that have none, such as residual.
Those that can be undone from their outputs work in place behind a dense layer or a convolution; the others (leaky_relu, elu, selu, gelu,
softplus, silu) are lowered by this file everywhere, because their gradient needs what came in.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nncore.activations import ACTIVATION_CODES, STEP, ActivationName, activate, activate_backward, bend, bend_backward
from nncore.definition import shown
from nncore.layers.layer import Layer, Shape
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value

SLOPE_OF_STEP = (
    "the slope of the step activation is zero, so gradient descent cannot train through it; "
    "train with sigmoid, tanh or relu, or ask for the answer of given weights without training"
)


class Activation(Layer):
    """A function of each number by itself (softmax and log_softmax: of those along the last axis). Items of any shape keep it."""

    model_config = shown(type="activation", activation="gelu")

    type: Literal["activation"] = "activation"
    activation: Annotated[ActivationName, Field(description="Which one.")]

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def relu_axis(self) -> int | None:
        return 0 if self.activation == "relu" else None

    def untrainable(self) -> str | None:
        return SLOPE_OF_STEP if self.activation == "step" else None

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        return x if self.activation == "linear" else lower_activation(plan, x, self.activation)


def applied_in_place(activation: ActivationName) -> bool:
    """Whether `activate` computes it, on the pre-activations, and its gradient follows from what came out."""
    return ACTIVATION_CODES[activation] <= STEP


def lower_activation(plan: Plan, x: Value, activation: ActivationName) -> Value:
    """Append the activation as rows of its own; x stays as it is."""
    y, units = plan.value(*x.shape)._replace(mask=x.mask), x.shape[-1] if x.shape else 1
    sizes = (x.size // max(units, 1), units, ACTIVATION_CODES[activation])
    plan.forward.append((activation_forward, x.at, y.at, *sizes))
    if x.gradient != NOWHERE:
        plan.backward.append([(activation_backward, x.at, x.gradient, y.at, y.gradient, *sizes)])
    return y


@kernel
def activation_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = f(x)"""
    x_at, y_at, per_item, units, code = op[:5]
    rows = integers[ROWS] * per_item
    x, y = view(arena, x_at, rows * units), view(arena, y_at, rows * units)
    if code > STEP:
        bend(code, x, y)
    else:
        for i in range(x.size):
            y[i] = x[i]
        activate(code, view(arena, y_at, rows, units))


@kernel
def activation_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = f'(x) dy"""
    x_at, dx_at, y_at, dy_at, per_item, units, code = op[:7]
    rows = integers[ROWS] * per_item
    dx, dy = view(arena, dx_at, rows * units), view(arena, dy_at, rows * units)
    if code > STEP:
        bend_backward(code, view(arena, x_at, rows * units), dy, dx)
    else:
        for i in range(dx.size):
            dx[i] = dy[i]
        activate_backward(code, view(arena, y_at, rows, units), view(arena, dx_at, rows, units))
