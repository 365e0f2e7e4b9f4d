"""A missing number becomes what the training rows suggest, feature by feature; as scikit-learn's SimpleImputer.

    mean, median       of the numbers that are there
    most_frequent      the number that stands there most often, the least of several
    constant           `value`

A feature that no training row has becomes `value`, too. In a prediction null may stand for a number of the columns that are imputed.
Missing numbers are those of datasets that were uploaded with `missing=allow`. To tell a network which they were, put missing_indicator in
front of it.

    {"type": "impute", "columns": ["age", "income"], "strategy": "median"}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from nncore.definition import Definition, shown
from nncore.preprocess.step import FeatureStep, FittedFeatures, Item


class Impute(FeatureStep):
    """Fills gaps, so that rows with a missing number can be learned from and answered."""

    model_config = shown(type="impute", columns=["age", "income"], strategy="median")

    takes_missing = True

    type: Literal["impute"] = "impute"
    strategy: Annotated[
        Literal["mean", "median", "most_frequent", "constant"],
        Field(description="What of the training rows stands for a missing number, or `value`."),
    ] = "mean"
    value: Annotated[float, Field(ge=-1e30, le=1e30, description="Where nothing else is known.")] = 0.0

    def item_after(self, item: Item) -> Item:
        return item.filled()

    def fit(self, training: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
        return {"fill": np.array([self._fill(feature[~np.isnan(feature)]) for feature in training.T])}

    def _fill(self, present: np.ndarray) -> float:
        """What stands for a missing one of these numbers."""
        if self.strategy == "constant" or not present.size:
            return self.value
        if self.strategy == "most_frequent":
            numbers, counts = np.unique(present, return_counts=True)
            return float(numbers[counts.argmax()])
        return float(np.mean(present) if self.strategy == "mean" else np.median(present))

    def fitted(self, columns: Mapping[str, Any]) -> FittedImpute:
        return FittedImpute.model_validate({"type": self.type, "columns": columns})


class Fill(Definition):
    """One number per feature of a column."""

    fill: list[float]


class FittedImpute(FittedFeatures):
    """x where it is a number, else fill."""

    takes_missing = True

    type: Literal["impute"]
    columns: dict[str, Fill]

    def apply(self, values: np.ndarray, numbers: Mapping[str, np.ndarray]) -> None:
        np.copyto(values, numbers["fill"], where=np.isnan(values))
