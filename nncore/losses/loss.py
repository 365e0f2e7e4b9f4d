"""What every loss keeps: which targets it compares with, and its lowering.

A loss is one file: spec, formula, kernel. Its kernel writes the loss of every row (the machine adds them up in float64) and, in a plan
that trains, the gradient of the *mean* over the rows of the batch, whatever their number: a partial last batch counts by its own rows.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from nncore.definition import Definition
from nncore.losses.weights import lower_weights

if TYPE_CHECKING:
    from nncore.machine.plan import Plan, Value


class Loss(Definition):
    """What training makes small."""

    compares_with: ClassVar[Literal["labels", "targets"]]
    """labels: one class per row, int64, in [0, outputs). targets: one number per output, in the dtype of training."""

    refused_after: ClassVar[tuple[str, ...]] = ()
    """Activations of the last layer that would be applied twice, because the loss takes logits."""

    wanted_after: ClassVar[str | None] = None
    """The activation of the last layer without which the loss means nothing."""

    def weigh(self, plan: Plan, outputs: Value) -> None:
        """Append, after `lower`, what gives every row its own weight: the mean is then divided by the sum of the weights."""
        lower_weights(plan, outputs)

    @abstractmethod
    def lower(self, plan: Plan, outputs: Value) -> None:
        """Append the loss of `outputs` to the forward rows; it writes `plan.row_losses()` and, when training, `outputs.gradient`."""
