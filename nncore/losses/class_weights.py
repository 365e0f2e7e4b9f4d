"""Weights of classes: given, or balanced, so that every class counts as much as any other however rare it is.

A balanced weight is rows / (classes * rows of the class), as in scikit-learn's compute_class_weight("balanced"); classes are those that
occur. One that does not occur gets 0. Source: King and Zeng, Logistic Regression in Rare Events Data (2001), 5.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

LARGEST = 1e9

GivenWeights = Annotated[list[Annotated[float, Field(ge=0, le=LARGEST)]], Field(min_length=2, max_length=1_000_000, fail_fast=True)]


def _kind(given: Any) -> str:
    return "word" if isinstance(given, str) else "numbers"


ClassWeights = Annotated[Annotated[GivenWeights, Tag("numbers")] | Annotated[Literal["balanced"], Tag("word")], Discriminator(_kind)]


def some_class_counts(weights: list[float] | str | None) -> None:
    """Raises what pydantic takes for a fault where every weight is 0."""
    if isinstance(weights, list) and not any(weights):
        raise PydanticCustomError("no_class_counts", "every class has the weight 0, so there is nothing to learn; raise one", {})


def balanced(labels: np.ndarray, classes: int) -> list[float]:
    """One weight for each of `classes`. labels: (rows,), integers; those outside [0, classes) do not count."""
    counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    weights: list[float] = [counts.sum() / (np.count_nonzero(counts) * count) if count else 0.0 for count in counts.tolist()]
    return weights
