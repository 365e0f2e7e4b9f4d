"""An item of any shape as one vector, in C order (the last index runs fastest), as torch.nn.Flatten does."""

from __future__ import annotations

from math import prod
from typing import Literal

from nncore.definition import shown
from nncore.layers.layer import Layer, Shape
from nncore.machine.plan import Plan, Value


class Flatten(Layer):
    """An item of any shape as one vector: needed between items of several axes and a dense layer. It costs nothing."""

    model_config = shown(type="flatten")

    type: Literal["flatten"] = "flatten"

    def output_shape(self, input_shape: Shape) -> Shape:
        return (prod(input_shape),)

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        return Value(x.at, x.gradient, self.output_shape(x.shape))
