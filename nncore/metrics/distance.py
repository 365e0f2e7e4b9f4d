"""Metrics of numbers: how far the outputs are from the targets. All are reduced in float64.

mean_absolute_error      mean of |output - target| over rows and outputs
root_mean_squared_error  root of the mean of (output - target)^2 over rows and outputs (scikit-learn: mean of the roots per output)
r2                       1 - sum of (target - output)^2 / sum of (target - mean target)^2 per output, averaged over the outputs; 1 is
                         perfect, 0 no better than the mean. An output whose targets are all equal counts 1 where it is met exactly,
                         else 0, as in scikit-learn.
"""

from __future__ import annotations

import numpy as np


def mean_absolute_error(outputs: np.ndarray, targets: np.ndarray) -> float:
    """In the unit of the target."""
    return float(np.abs(outputs.astype(np.float64) - targets).mean())


def root_mean_squared_error(outputs: np.ndarray, targets: np.ndarray) -> float:
    """In the unit of the target."""
    return float(np.sqrt(((outputs.astype(np.float64) - targets) ** 2).mean()))


def r2(outputs: np.ndarray, targets: np.ndarray) -> float:
    """At most 1."""
    exact = targets.astype(np.float64)
    missed, spread = ((exact - outputs) ** 2).sum(axis=0), ((exact - exact.mean(axis=0)) ** 2).sum(axis=0)
    known = np.where(spread > 0, 1 - missed / np.where(spread > 0, spread, 1), (missed == 0).astype(np.float64))
    return float(known.mean())
