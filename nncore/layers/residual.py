"""y = x + f(x), where f are the inner layers: they need only learn what to change, and gradients pass them by unweakened.

Items of any shape; f must give back items of the shape it was given. As a tree of torch modules: a module whose `layers` is the
torch.nn.Sequential of the inner layers, so the parameters of residual N are named N.layers.M.weight and so on.

Source: He et al., "Deep Residual Learning for Image Recognition" (2015), 3.2, the identity shortcut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.layers.layer import Layer, Shape, every_layer, shapes_through
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value

if TYPE_CHECKING:
    from nncore.layers import LayerSpec


class Residual(Layer):
    """Adds what goes into the inner layers to what comes out of them, y = x + f(x). Shapes stay."""

    model_config = shown(type="residual", layers=[{"type": "layer_norm"}, {"type": "dense", "units": 32}])

    type: Literal["residual"] = "residual"
    layers: Annotated[list[LayerSpec], Field(min_length=1, description="What is added to the input; it keeps the shape.")]

    def inner(self) -> Sequence[tuple[str, Layer]]:
        return tuple(every_layer(self.layers))

    def output_shape(self, input_shape: Shape) -> Shape:
        output_shape = shapes_through(self.layers, input_shape)[-1]
        if output_shape != input_shape:
            message = (
                f"the layers of a residual must keep the shape of an item: {list(input_shape)} came in, {list(output_shape)} came out; "
                "change the last of them"
            )
            raise InvalidSpec(
                Fault(
                    f"/layers/{len(self.layers) - 1}",
                    "shape_mismatch",
                    message,
                    expected=str(list(input_shape)),
                    got=str(list(output_shape)),
                )
            )
        return input_shape

    def without_parameters(self) -> Residual:
        return self.model_copy(update={"layers": [layer.without_parameters() for layer in self.layers]})

    def lower(self, plan: Plan, x: Value) -> Value:
        last: list[tuple[object, ...]] = []  # groups run last first: this one after those of the inner layers
        plan.backward.append(last)
        with plan.inside(f"{plan.module()}.layers"):
            changed = x
            for number, layer in enumerate(self.layers):
                changed = plan.lower(f"/layers/{number}", layer, changed)
        y = plan.value(*x.shape)
        plan.forward.append((add, x.at, changed.at, y.at, x.size))
        if plan.gradients:
            if changed.gradient != NOWHERE:  # a copy: the inner layers use it up, and the sum needs the gradient of y once more
                plan.backward.append([(copy, y.gradient, changed.gradient, x.size)])
            if x.gradient != NOWHERE:
                last.append((add, x.gradient, y.gradient, x.gradient, x.size))
        return y._replace(mask=x.mask)


@kernel
def add(op: Op, arena: Array, integers: Array) -> None:
    """c = a + b, number by number; c may be one of them."""
    a_at, b_at, c_at, item_size = op[:4]
    size = integers[ROWS] * item_size
    a, b, c = view(arena, a_at, size), view(arena, b_at, size), view(arena, c_at, size)
    for i in range(size):
        c[i] = a[i] + b[i]


@kernel
def copy(op: Op, arena: Array, integers: Array) -> None:
    """b = a"""
    a_at, b_at, item_size = op[:3]
    size = integers[ROWS] * item_size
    a, b = view(arena, a_at, size), view(arena, b_at, size)
    for i in range(size):
        b[i] = a[i]
