"""Each feature from 0 (its least value on the training rows) to 1 (its largest).

Other rows may lie outside. A feature that never changes is only moved to 0 (its scale is 1).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from nncore.definition import Definition
from nncore.preprocess.standardize import Scale


class MinMax(Definition):
    """For features with natural bounds, such as the brightness of a pixel."""

    type: Literal["min_max"] = "min_max"

    def fit(self, training: np.ndarray) -> FittedMinMax:
        """training: (rows, features) float64, the training rows."""
        lowest = training.min(axis=0)
        span = training.max(axis=0) - lowest
        scale = np.where(span >= np.finfo(np.float64).tiny, span, 1.0)
        return FittedMinMax(minimum=lowest.tolist(), scale=scale.tolist())


class FittedMinMax(Definition):
    """(x - minimum) / scale, feature by feature."""

    type: Literal["min_max"] = "min_max"
    minimum: list[float]
    scale: list[Scale]

    @property
    def features(self) -> int:
        return len(self.minimum) if len(self.minimum) == len(self.scale) else -1

    def apply(self, inputs: np.ndarray) -> None:
        """Overwrites `inputs`, (rows, features) float64."""
        inputs -= np.asarray(self.minimum)
        inputs /= np.asarray(self.scale)
