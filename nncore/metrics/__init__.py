"""Metrics: what training is judged by, beside the loss. `METRICS` is the only list of them.

A metric is a function (outputs, expected) -> float. outputs: (rows, units), as the network gives them (logits under a
cross-entropy). expected: what the loss compares with, labels (rows,) or targets (rows, units).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from nncore.metrics.accuracy import accuracy

MetricName = Literal["accuracy"]

METRICS: dict[MetricName, Callable[[np.ndarray, np.ndarray], float]] = {"accuracy": accuracy}

__all__ = ["METRICS", "MetricName"]
