"""Each feature less its mean, divided by its standard deviation: mean 0, deviation 1 on the training rows.

The deviation is the population's (divided by the number of rows), as in scikit-learn's StandardScaler.
A feature that never changes is only moved to 0 (its scale is 1).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import Definition

Scale = Annotated[float, Field(gt=0)]


class Standardize(Definition):
    """Makes features of different units comparable; a good first choice."""

    type: Literal["standardize"] = "standardize"

    def fit(self, training: np.ndarray) -> FittedStandardize:
        """training: (rows, features) float64, the training rows."""
        lowest, mean = training.min(axis=0), training.mean(axis=0)
        varies = training.max(axis=0) > lowest
        deviation = training.std(axis=0)
        # The mean of equal numbers may be off by a rounding; a deviation below the smallest normal number would divide to infinity.
        mean = np.where(varies, mean, lowest)
        scale = np.where(varies & (deviation >= np.finfo(np.float64).tiny), deviation, 1.0)
        return FittedStandardize(mean=mean.tolist(), scale=scale.tolist())


class FittedStandardize(Definition):
    """(x - mean) / scale, feature by feature."""

    type: Literal["standardize"] = "standardize"
    mean: list[float]
    scale: list[Scale]

    @property
    def features(self) -> int:
        return len(self.mean) if len(self.mean) == len(self.scale) else -1

    def apply(self, inputs: np.ndarray) -> None:
        """Overwrites `inputs`, (rows, features) float64."""
        inputs -= np.asarray(self.mean)
        inputs /= np.asarray(self.scale)
