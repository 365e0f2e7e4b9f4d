"""What losses of one class of several share: weights of the classes, and a label that is ignored.

mean = sum of the rows' losses / sum of w_label of the rows that are not ignored; 0 where that is 0 (torch: NaN)
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, field_validator

from nncore.losses.class_weights import ClassWeights, balanced, some_class_counts
from nncore.losses.loss import Loss
from nncore.losses.weights import NO_LABEL, lower_weights
from nncore.machine.plan import Place, Plan, Value


class LossOfClasses(Loss):
    """For targets that are one class of several."""

    compares_with = "labels"
    class_weights: Annotated[
        ClassWeights | None,
        Field(description='One number per class, or "balanced": rows / (classes * rows of the class), counted over the training rows.'),
    ] = None
    ignore_index: Annotated[
        int | None, Field(ge=-(2**31), lt=2**31, description="Rows with this label are in no loss, gradient or metric; -1, for example.")
    ] = None

    @field_validator("class_weights")
    @classmethod
    def _some_class_counts(cls, weights: list[float] | str | None) -> list[float] | str | None:
        some_class_counts(weights)
        return weights

    def balanced(self, labels: np.ndarray, classes: int) -> Self:
        """This loss with "balanced" as numbers, counted over `labels`; as it is where weights are given or none are wanted."""
        if self.class_weights != "balanced":
            return self
        return self.model_copy(update={"class_weights": balanced(labels[labels != self.ignore_index], classes)})

    def weigh(self, plan: Plan, outputs: Value) -> None:
        if self.class_weights is None and self.ignore_index is None:
            lower_weights(plan, outputs)
        else:
            lower_weights(plan, outputs, *self._weights(plan, outputs))

    def _weights(self, plan: Plan, outputs: Value) -> tuple[Place, int]:
        """Where the weights of the classes lie, and the label that is ignored."""
        given = self.class_weights  # "balanced" will be numbers before anything runs; here it takes as much memory
        weights = plan.constant(*given) if isinstance(given, list) else plan.repeated(1.0, outputs.size)
        return weights, NO_LABEL if self.ignore_index is None else self.ignore_index
