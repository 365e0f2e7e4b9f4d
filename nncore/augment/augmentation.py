"""What every augmentation keeps: whether it fits the items, and its lowering in front of the network.

An augmentation is rows of the training plan alone: it changes the gathered batch, and evaluation does not know of it. Like a layer it is
one file: spec, lowering, kernels. What it draws is a hash of (seed, step, ...); see draws.py.
"""

from __future__ import annotations

from abc import abstractmethod
from math import prod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nncore.definition import Definition

if TYPE_CHECKING:
    from nncore.losses import LossSpec
    from nncore.machine.plan import Plan, Value

Size = Annotated[int, Field(ge=1, le=2**31)]


class Augmentation(Definition):
    """Changes the rows of a batch while training, so that a network sees more than there is."""

    type: str

    def unfit(self, loss: LossSpec) -> str | None:
        """Why it cannot be used under this loss, with the remedy; None when it can."""
        return None

    @abstractmethod
    def lower(self, plan: Plan, x: Value) -> Value:
        """Append what changes the inputs of a batch; answers where they lie then. It may overwrite x."""

    def lower_targets(self, plan: Plan, outputs: Value, loss: LossSpec) -> None:
        """Append what has to be done between the network and the loss."""

    def lower_loss(self, plan: Plan, outputs: Value, loss: LossSpec) -> None:
        """Append what has to be done behind the loss, in front of all that goes backward."""


class Spatial(Augmentation):
    """An augmentation that has to know how the numbers of an item lie."""

    shape: Annotated[
        list[Size] | None,
        Field(
            min_length=1,
            max_length=8,
            description="Of an item, where its numbers come as one line, [28, 28] for example. Default: as the one input column has it.",
        ),
    ] = None

    @property
    def sizes(self) -> list[int]:
        """The shape, once it is resolved."""
        if self.shape is None:
            raise TypeError("the shape is written in when a spec is resolved")
        return self.shape

    @abstractmethod
    def unfit_shape(self, shape: tuple[int, ...]) -> tuple[str, str] | None:
        """The field that does not fit items of this shape, and why, with the remedy; None when all do."""

    def around(self, axis: int) -> tuple[int, int, int]:
        """How many runs there are in front of an axis, its length, and how many numbers lie within each of its places."""
        sizes = self.sizes
        axis %= len(sizes)
        return prod(sizes[:axis]), sizes[axis], prod(sizes[axis + 1 :])
