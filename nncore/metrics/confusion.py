"""Precision, recall and F1: how many of those called a class are of it, how many of a class are called it, and their harmonic mean.

    precision = right / called;   recall = right / of the class;   F1 = 2 right / (called + of the class);   0 where nothing is divided by 0

macro: the mean over the classes that are expected or answered somewhere, as in scikit-learn. micro: of the counts of all classes
together; where each row has one class of several, all three micro scores are the accuracy. Of targets of 0 and 1 with a single output
the scores are those of the class 1 (scikit-learn's "binary"); with several outputs each is a class of its own ("multilabel").

Source: Manning, Raghavan, Schütze, Introduction to Information Retrieval (2008), 8.3 and 13.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np


def confusion_matrix(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(classes, classes) int64: how many rows of the class of the row were answered by the class of the column."""
    classes = outputs.shape[1]
    counts = np.bincount(labels * classes + outputs.argmax(axis=1), minlength=classes * classes)
    return counts.reshape(classes, classes)


def class_counts(outputs: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every class: rows called it rightly, rows called it, rows of it."""
    if expected.ndim == 1:
        answers, classes = outputs.argmax(axis=1), outputs.shape[1]
        right = np.bincount(expected[answers == expected], minlength=classes)
        return right, np.bincount(answers, minlength=classes), np.bincount(expected, minlength=classes)
    called, wanted = outputs > 0, expected > 0.5
    return (called & wanted).sum(axis=0), called.sum(axis=0), wanted.sum(axis=0)


def scores(which: Literal["precision", "recall", "f1"], outputs: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(classes,) float64: the score of every class."""
    return _scores(which, *class_counts(outputs, expected))


def score(which: Literal["precision", "recall", "f1"], average: Literal["micro", "macro"]) -> Callable[[np.ndarray, np.ndarray], float]:
    """The metric (outputs, expected) -> float."""

    def compute(outputs: np.ndarray, expected: np.ndarray) -> float:
        right, called, wanted = class_counts(outputs, expected)
        if average == "micro":
            return float(_scores(which, right.sum(), called.sum(), wanted.sum()))
        seen = called + wanted > 0 if expected.ndim == 1 else np.ones(len(right), dtype=bool)
        return float(_scores(which, right[seen], called[seen], wanted[seen]).mean()) if seen.any() else 0.0

    return compute


def _scores(which: str, right: np.ndarray, called: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    part, whole = {"precision": (right, called), "recall": (right, wanted), "f1": (2 * right, called + wanted)}[which]
    return np.asarray(part / np.maximum(whole, 1))
