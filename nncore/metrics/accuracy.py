"""Accuracy: the share of answers that are right."""

from __future__ import annotations

import numpy as np


def accuracy(outputs: np.ndarray, expected: np.ndarray) -> float:
    """The share of right answers, between 0 and 1.

    outputs: (rows, units) logits. expected: labels (rows,), answered by the largest logit (the first of equal ones);
    or targets (rows, units) of 0 and 1, each answered by the sign of its logit (0 counts as no).
    """
    right = outputs.argmax(axis=1) == expected if expected.ndim == 1 else (outputs > 0) == (expected > 0.5)
    return int(np.count_nonzero(right)) / right.size if right.size else 0.0
