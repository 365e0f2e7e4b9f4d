"""Each feature from 0 (its least value on the training rows) to 1 (its largest), as scikit-learn's MinMaxScaler.

Other rows may lie outside. A feature that never changes is only moved to 0 (its scale is 1).

    {"type": "min_max"}
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from nncore.definition import shown
from nncore.preprocess.scaling import ScalingStep


class MinMax(ScalingStep):
    """For features with natural bounds, such as the brightness of a pixel."""

    model_config = shown(type="min_max")

    type: Literal["min_max"] = "min_max"

    def fit(self, training: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
        lowest = training.min(axis=0)
        span = training.max(axis=0) - lowest
        return {"offset": lowest, "scale": np.where(span >= np.finfo(np.float64).tiny, span, 1.0)}
