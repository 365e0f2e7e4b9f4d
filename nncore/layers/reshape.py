"""The same numbers in another shape, in C order (the last index runs fastest), as torch.nn.Unflatten gives a vector its axes.

Columns of a table come in as one vector: {"type": "reshape", "shape": [1, 28, 28]} makes pictures of one channel of them. One length
may be -1: it is computed from the others.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.layers.layer import Layer, Shape
from nncore.machine.plan import Plan, Value


class Reshape(Layer):
    """The numbers of an item in another shape: needed before a convolution where items come as vectors. It costs nothing."""

    model_config = shown(type="reshape", shape=[1, 28, 28])

    type: Literal["reshape"] = "reshape"
    shape: Annotated[
        list[Annotated[int, Field(ge=-1, le=2**40)]],
        Field(min_length=1, max_length=4, description="Of an item; one length may be -1, and is computed from the others."),
    ]

    @field_validator("shape")
    @classmethod
    def _lengths(cls, shape: list[int]) -> list[int]:
        if 0 in shape or shape.count(-1) > 1:
            raise PydanticCustomError("wrong_shape", "a shape has lengths from 1, and at most one -1 for a length to be computed", {})
        return shape

    def output_shape(self, input_shape: Shape) -> Shape:
        size, known = prod(input_shape), prod(length for length in self.shape if length > 0)
        computed = tuple(size // known if length == -1 else length for length in self.shape)
        if prod(computed) != size or size < 1:
            message = f"items of {size:,} numbers (shape {list(input_shape)}) do not fit into the shape {self.shape}"
            raise InvalidSpec(Fault("/shape", "shape_mismatch", message, f"{size:,} numbers", f"{known:,}"))
        return computed

    def lower(self, plan: Plan, x: Value) -> Value:
        plan.module()
        return Value(x.at, x.gradient, self.output_shape(x.shape))
