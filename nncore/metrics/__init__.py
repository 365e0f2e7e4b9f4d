"""Metrics: what training is judged by, beside the loss. `METRICS` is the only list of those that are a number, `TABLES` of the others.

A metric is a function (outputs, expected) -> float. outputs: (rows, units), as the network gives them (logits under a
cross-entropy). expected: what the loss compares with, labels (rows,) or targets (rows, units).

    accuracy.py     accuracy
    confusion.py    precision, recall, F1, micro and macro; per class and the confusion matrix as functions
    ranking.py      top-k accuracy, ROC AUC
    probability.py  log loss, calibration error
    tables.py       the confusion matrix and the scores of every class, as JSON
    distance.py     mean absolute error, root mean squared error, R2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from nncore.metrics.accuracy import accuracy
from nncore.metrics.confusion import score
from nncore.metrics.distance import mean_absolute_error, r2, root_mean_squared_error
from nncore.metrics.probability import calibration_error, log_loss
from nncore.metrics.ranking import roc_auc, top_k_accuracy
from nncore.metrics.tables import MOST_CLASSES, class_table, confusion_table

MetricName = Literal[
    "accuracy",
    "top_2_accuracy",
    "top_3_accuracy",
    "top_5_accuracy",
    "top_10_accuracy",
    "precision_micro",
    "precision_macro",
    "recall_micro",
    "recall_macro",
    "f1_micro",
    "f1_macro",
    "roc_auc",
    "log_loss",
    "calibration_error",
    "mean_absolute_error",
    "root_mean_squared_error",
    "r2",
]


TableName = Literal["confusion_matrix", "per_class"]
AskedMetric = Literal[MetricName, TableName]


class Metric(NamedTuple):
    """compute: (outputs, expected) -> float. judges: one class of several (labels), those and yes or no (answers), or numbers."""

    compute: Callable[[np.ndarray, np.ndarray], float]
    judges: Literal["labels", "answers", "numbers"]


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, "answers"),
    "top_2_accuracy": Metric(top_k_accuracy(2), "labels"),
    "top_3_accuracy": Metric(top_k_accuracy(3), "labels"),
    "top_5_accuracy": Metric(top_k_accuracy(5), "labels"),
    "top_10_accuracy": Metric(top_k_accuracy(10), "labels"),
    "precision_micro": Metric(score("precision", "micro"), "answers"),
    "precision_macro": Metric(score("precision", "macro"), "answers"),
    "recall_micro": Metric(score("recall", "micro"), "answers"),
    "recall_macro": Metric(score("recall", "macro"), "answers"),
    "f1_micro": Metric(score("f1", "micro"), "answers"),
    "f1_macro": Metric(score("f1", "macro"), "answers"),
    "roc_auc": Metric(roc_auc, "answers"),
    "log_loss": Metric(log_loss, "answers"),
    "calibration_error": Metric(calibration_error, "answers"),
    "mean_absolute_error": Metric(mean_absolute_error, "numbers"),
    "root_mean_squared_error": Metric(root_mean_squared_error, "numbers"),
    "r2": Metric(r2, "numbers"),
}


class Table(NamedTuple):
    """compute: (outputs, expected) -> JSON. judges: as of a metric."""

    compute: Callable[[np.ndarray, np.ndarray], Any]
    judges: Literal["answers"]


TABLES: dict[str, Table] = {
    "confusion_matrix": Table(confusion_table, "answers"),
    "per_class": Table(class_table, "answers"),
}

__all__ = ["METRICS", "MOST_CLASSES", "TABLES", "AskedMetric", "Metric", "MetricName", "Table", "TableName"]
