"""Each feature less its mean, divided by its standard deviation: mean 0, deviation 1 on the training rows.

The deviation is the population's (divided by the number of rows), as in scikit-learn's StandardScaler.
A feature that never changes is only moved to 0 (its scale is 1).

    {"type": "standardize", "columns": ["age", "income"]}
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from nncore.definition import shown
from nncore.preprocess.scaling import ScalingStep


class Standardize(ScalingStep):
    """Makes features of different units comparable; a good first choice."""

    model_config = shown(type="standardize", columns=["age", "income"])

    type: Literal["standardize"] = "standardize"

    def fit(self, training: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
        lowest, mean = training.min(axis=0), training.mean(axis=0)
        varies = training.max(axis=0) > lowest
        deviation = training.std(axis=0)
        # The mean of equal numbers may be off by a rounding; a deviation below the smallest normal number would divide to infinity.
        return {
            "offset": np.where(varies, mean, lowest),
            "scale": np.where(varies & (deviation >= np.finfo(np.float64).tiny), deviation, 1.0),
        }
