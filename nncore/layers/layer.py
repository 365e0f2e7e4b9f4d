"""What every layer keeps: its shape rule and its lowering into a plan.

A layer is one file: the spec, the shape rule, `lower`, the kernels, and a docstring that says what it computes. To add one, write
that file and add its class to the union in `nncore/layers/__init__.py`; its gradient case in `tests/nncore/layers` is demanded by a test.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar, Self

from nncore.definition import Definition
from nncore.errors import Fault, InvalidSpec
from nncore.faults import short

if TYPE_CHECKING:
    import numpy as np

    from nncore.machine.plan import Plan, Value

Shape = tuple[int, ...]
MOST_NUMBERS = 2**40
DRAWING = ("initialiser", "recurrent_initialiser", "bias_initialiser")  # fields that say how parameters are drawn


class Layer(Definition):
    """One layer of a network. Shapes are of one item: the batch is not in them."""

    given_names: ClassVar[tuple[str, ...]] = ()
    """Fields that hold parameters (or running statistics) given in the spec, as nested lists."""

    must_be_given: ClassVar[tuple[str, ...]] = ()
    """Those of them without which the layer cannot be evaluated untrained."""

    tells_contributions: ClassVar[bool] = False
    """Whether `contributions` tells what each input adds to each output."""

    fewest_rows: ClassVar[int] = 1
    """How many rows a batch must have to be trained on."""

    first_only: ClassVar[bool] = False
    """Whether it reads what comes in from outside, and nothing that a layer gives."""

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of what comes out. Raises InvalidSpec, with pointers relative to the layer, when `input_shape` does not fit."""

    @abstractmethod
    def lower(self, plan: Plan, x: Value) -> Value:
        """Append the layer to the plan: parameters, space, forward rows, backward rows. Answers where its output lies.

        Names of parameters come from `plan.module()`, called once for every module of the equal torch.nn.Sequential.
        A plan without gradients (`plan.gradients` is false) wants no backward rows. Others may read x as well: what lies there stays as
        it is, and the gradient of x is overwritten, or is that of the output. The gradient of the output may be used up.
        """

    def tell(self, plan: Plan, x: Value) -> dict[str, Value]:
        """Lower the layer so that what it computes on its way can be looked at, by name: "activations", its output, last."""
        return {"activations": self.lower(plan, x)}

    def contributions(self, inputs: np.ndarray) -> np.ndarray:
        """(rows, outputs, inputs): each weight times its input. Only where `tells_contributions`, with weights that are given."""
        raise NotImplementedError

    def inner(self) -> Sequence[tuple[str, Layer]]:
        """The layers within this one, each with its JSON pointer from here; only compositions have some."""
        return ()

    def relu_axis(self) -> int | None:
        """Along which axis of the item that comes out lie units that a relu may silence; None where the layer ends in none."""
        return None

    def untrainable(self) -> str | None:
        """Why the layer cannot be trained, with the remedy; None when it can."""
        return None

    def refuses(self, inputs: np.ndarray, first: int = 0) -> Fault | None:
        """What of the inputs (rows, *input_shape) of a network the layer, its first, cannot take: the pointer names the row.

        first: the number of the first of these rows among all.
        """
        return None

    def without_parameters(self) -> Self:
        """The same layer without the parameters that were given in the spec, and without what draws them."""
        told = [name for name in (*self.given_names, *DRAWING) if hasattr(self, name)]
        return self.model_copy(update=dict.fromkeys(told))


def shapes_through(layers: Sequence[Layer], input_shape: Shape, at: str = "/layers", most: float = MOST_NUMBERS) -> list[Shape]:
    """The shape of one item before the first layer and after each one. Raises InvalidSpec with pointers below `at`.

    most: numbers in an item; no computer holds the parameters of a layer that gives more.
    """
    shapes = [input_shape]
    for number, layer in enumerate(layers):
        try:
            shapes.append(layer.output_shape(shapes[-1]))
        except InvalidSpec as refused:
            raise InvalidSpec(fault.under(f"{at}/{number}") for fault in refused.faults) from None
        if prod(shapes[-1]) > most:
            message = f"the layer is too large: it has {short(prod(shapes[-1]))} outputs; give it fewer"
            raise InvalidSpec(Fault(f"{at}/{number}", "too_many_parameters", message, f"at most {most:,}", short(prod(shapes[-1]))))
    return shapes


def every_layer(layers: Sequence[Layer], at: str = "/layers") -> Iterator[tuple[str, Layer]]:
    """Each layer with its JSON pointer, and after it those within it."""
    for number, layer in enumerate(layers):
        yield f"{at}/{number}", layer
        for below, inner in layer.inner():
            yield f"{at}/{number}{below}", inner
