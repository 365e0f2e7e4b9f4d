"""Metrics that are more than one number: JSON, asked for by name as the others, told where there is room for it.

confusion_matrix  [class][answer]: how many rows of the class were answered so; of yes and no [[no as no, no as yes], [yes as no, yes]],
                  one such for each output where there are several
per_class         {"precision": [...], "recall": [...], "f1": [...], "support": [...]}: a number per class, or per output under
                  binary_cross_entropy; support: rows of the class. Formulas: confusion.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.metrics.confusion import class_counts, confusion_matrix, scores

MOST_CLASSES = 100
"""A matrix of more is no table that anybody reads, and every report would carry it."""


def confusion_table(outputs: np.ndarray, expected: np.ndarray) -> list[Any]:
    """The matrix as nested lists of whole numbers."""
    if expected.ndim == 1:
        return confusion_matrix(outputs, expected).tolist()  # type: ignore[no-any-return]
    right, called, wanted = class_counts(outputs, expected)
    rows, found = len(expected), []
    for yes, said, was in zip(right.tolist(), called.tolist(), wanted.tolist(), strict=True):
        found.append([[rows - said - was + yes, said - yes], [was - yes, yes]])
    return found[0] if len(found) == 1 else found


def class_table(outputs: np.ndarray, expected: np.ndarray) -> dict[str, list[float]]:
    """The scores of every class."""
    table = {which: scores(which, outputs, expected).tolist() for which in ("precision", "recall", "f1")}
    return {**table, "support": class_counts(outputs, expected)[2].tolist()}
