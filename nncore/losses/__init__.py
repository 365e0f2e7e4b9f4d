"""What training makes small. `LossSpec` is the only list of losses. The cross-entropies take logits, negative_log_likelihood logarithms."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nncore.losses.binary_cross_entropy import BinaryCrossEntropy
from nncore.losses.huber import Huber
from nncore.losses.mean_absolute_error import MeanAbsoluteError
from nncore.losses.mean_squared_error import MeanSquaredError
from nncore.losses.negative_log_likelihood import NegativeLogLikelihood
from nncore.losses.softmax_cross_entropy import SoftmaxCrossEntropy

LossSpec = Annotated[
    MeanSquaredError | MeanAbsoluteError | Huber | BinaryCrossEntropy | SoftmaxCrossEntropy | NegativeLogLikelihood,
    Field(discriminator="type"),
]

__all__ = [
    "BinaryCrossEntropy",
    "Huber",
    "LossSpec",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "NegativeLogLikelihood",
    "SoftmaxCrossEntropy",
]
