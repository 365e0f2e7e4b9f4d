"""Metrics of the order of the answers: whether the right class is among the first, and whether yes ranks above no.

    top_k_accuracy  the share of rows whose class is among the k largest logits; of equal logits the lower class comes first
    roc_auc         the chance that a row of the class has a larger logit than one that is not of it; equal ones count half

ROC AUC is computed for every class against the rest and averaged over the classes of which there are rows and others, too (scikit-learn's
"ovr", "macro"; which refuses where one is missing). For classes the probabilities are ranked. NaN where there is none: it is not defined.

Source: Hanley, McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", 1982.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nncore.probabilities import softmax


def top_k_accuracy(k: int) -> Callable[[np.ndarray, np.ndarray], float]:
    """The metric (outputs, labels) -> float."""

    def compute(outputs: np.ndarray, labels: np.ndarray) -> float:
        own = outputs[np.arange(len(labels)), labels][:, None]
        before = np.arange(outputs.shape[1]) < labels[:, None]
        rank = ((outputs > own) | ((outputs == own) & before)).sum(axis=1)
        return float((rank < k).mean()) if len(labels) else 0.0

    return compute


def roc_auc(outputs: np.ndarray, expected: np.ndarray) -> float:
    """The area under the curve, between 0 and 1, averaged over classes; NaN where it is not defined."""
    if len(outputs) == 0:
        return float("nan")
    of_class = expected[:, None] == np.arange(outputs.shape[1]) if expected.ndim == 1 else expected > 0.5
    ranked = softmax(outputs.astype(np.float64)) if expected.ndim == 1 else outputs
    areas = [_area(ranked[:, j], of_class[:, j]) for j in range(outputs.shape[1])]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else float("nan")


def _area(numbers: np.ndarray, positive: np.ndarray) -> float | None:
    """By the sum of the ranks of the positive rows; equal numbers share the mean of their ranks."""
    yes = int(positive.sum())
    no = len(positive) - yes
    if yes == 0 or no == 0:
        return None
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))
