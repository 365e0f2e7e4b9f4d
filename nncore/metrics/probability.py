"""Metrics of the probabilities: how surprising the right answers were, and whether they can be believed.

    log_loss           the mean of -log p(right answer), in nats; as the cross-entropies, without their weights and smoothing
    calibration_error  the mean distance between how sure the answers were and how many of them were right, over 15 equal bins of
                       (0, 1] of the surest class's probability, weighted by the rows in the bin. For yes or no: of p(yes) and the share
                       of yes.

scikit-learn's log_loss cuts probabilities at the precision of their dtype; here they come from logits and stay exact.
Source of the calibration error: Guo et al., "On calibration of modern neural networks", 2017 (arXiv 1706.04599), equation 3.
"""

from __future__ import annotations

import numpy as np

from nncore.probabilities import sigmoid, softmax

BINS = 15


def log_loss(outputs: np.ndarray, expected: np.ndarray) -> float:
    """In nats, at least 0; the mean over rows (and outputs, for yes or no)."""
    if outputs.size == 0:
        return 0.0
    z = outputs.astype(np.float64)
    if expected.ndim == 1:
        top = z.max(axis=1)
        return float((np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - z[np.arange(len(z)), expected]).mean())
    return float((np.maximum(z, 0) - z * expected + np.log1p(np.exp(-np.abs(z)))).mean())


def calibration_error(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Between 0 and 1."""
    if outputs.size == 0:
        return 0.0
    z = outputs.astype(np.float64)
    if expected.ndim == 1:
        sure = softmax(z).max(axis=1)
        right = (outputs.argmax(axis=1) == expected).astype(np.float64)
    else:
        sure, right = sigmoid(z).ravel(), expected.astype(np.float64).ravel()
    bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, sure, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gaps).sum() / len(sure))
