"""How much the answers need a column: how far a metric falls when its values are dealt to other rows.

A column that the network makes no use of costs nothing; one that it leans on costs much, and the metric says how much. Columns that say
the same cover for each other: dealt one at a time, neither seems to matter. Take rows that the network was not trained on.

Sources: Breiman, "Random Forests", Machine Learning 45 (2001), 10; Fisher, Rudin, Dominici, "All Models are Wrong, but Many are Useful",
JMLR 20 (2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidData
from nncore.metrics import METRICS, MetricName
from nncore.predictor import Predictor

LOWER_IS_BETTER: tuple[MetricName, ...] = ("log_loss", "calibration_error", "mean_absolute_error", "root_mean_squared_error")
LABELS = ("softmax_cross_entropy", "negative_log_likelihood")
ANSWERS = (*LABELS, "binary_cross_entropy")


@dataclass(frozen=True)
class Importance:
    """What a column is worth. feature: a number of its items, None where all of them were dealt together.

    drops: how much worse the metric was, in each repeat. mean, deviation: of them.
    """

    column: str
    feature: int | None
    drops: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.drops))

    @property
    def deviation(self) -> float:
        return float(np.std(self.drops))


def permutation_importance(
    artifact: Artifact,
    columns: Mapping[str, Any],
    expected: Any,
    *,
    metric: MetricName | None = None,
    repeats: int = 5,
    seed: int = 0,
    features: bool = False,
    ignore_index: int | None = None,
) -> list[Importance]:
    """The importance of every input column, in the order of the network's inputs.

    columns: raw, by name, as Predictor takes them. expected: of each row, its label or the name of it, or its targets. metric: without,
    accuracy or r2, whichever fits the network. features: whether the numbers of a column's items are dealt one by one. ignore_index: a
    label whose rows count nowhere, as in the loss of training.
    Raises InvalidData where the rows cannot be predicted or compared.
    """
    metric = metric or ("accuracy" if artifact.loss in ANSWERS else "r2")
    predictor, wanted = Predictor(artifact), _expected(artifact, expected)
    if artifact.loss in LABELS:
        columns, wanted = _counted(artifact, columns, wanted, ignore_index)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0

    def judged(given: Mapping[str, Any]) -> float:
        outputs = predictor.predict(given).outputs
        if len(outputs) != len(wanted) or (wanted.ndim == 2 and wanted.shape != outputs.shape):
            message = f"expected as many answers as there are outputs, {outputs.shape}, got {wanted.shape}"
            raise InvalidData(Fault("/expected", "wrong_shape", message, str(outputs.shape), str(wanted.shape)))
        return sign * METRICS[metric].compute(outputs, wanted)

    before, found = judged(columns), []
    for number, name in enumerate(artifact.input_names):
        for feature, deal in _deals(columns[name], features):
            orders = (np.random.default_rng([seed, number, repeat]).permutation(len(wanted)) for repeat in range(repeats))
            drops = tuple(before - judged({**columns, name: deal(order)}) for order in orders)
            found.append(Importance(name, feature, drops))
    return found


def _deals(values: Any, features: bool) -> Iterator[tuple[int | None, Callable[[np.ndarray], Any]]]:
    """What is dealt, and a function from an order of the rows to the values dealt."""
    array = np.asarray(values)
    if not features or array.ndim < 2 or array.dtype.kind not in "biuf":
        yield None, lambda order: values[order] if isinstance(values, np.ndarray) else [values[row] for row in order]
        return
    for feature in range(array[0].size):

        def deal(order: np.ndarray, feature: int = feature) -> np.ndarray:
            dealt = array.copy()
            flat = dealt.reshape(len(dealt), -1)
            flat[:, feature] = flat[order, feature]
            return dealt

        yield feature, deal


def _counted(
    artifact: Artifact, columns: Mapping[str, Any], labels: np.ndarray, ignored: int | None
) -> tuple[Mapping[str, Any], np.ndarray]:
    """The rows whose label is not ignored. Raises InvalidData where another one is no class, or no row is left."""
    outputs = prod(artifact.network.output_shape(artifact.input_shape))
    counted = np.full(len(labels), True) if ignored is None else labels != ignored
    wanted, wrong = f"labels from 0 to {outputs - 1}", counted & ((labels < 0) | (labels >= outputs))
    if wrong.any():
        row = int(np.argmax(wrong))
        message = f"row {row + 1}: expected {wanted}, got {labels[row]}"
        raise InvalidData(Fault(f"/expected/{row}", "label_outside_classes", message, wanted, str(labels[row])))
    if not counted.any():
        raise InvalidData(Fault("/expected", "no_row_counts", f"expected {wanted}, got none but those that are ignored", wanted))
    if counted.all():
        return columns, labels
    rows = np.flatnonzero(counted)

    def some(values: Any) -> Any:
        if len(values) != len(labels):
            return values  # refused where it is predicted
        return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]

    return {name: some(values) for name, values in columns.items()}, labels[counted]


def _expected(artifact: Artifact, expected: Any) -> np.ndarray:
    """Labels (rows,) int64 under softmax cross-entropy, else targets (rows, outputs)."""
    values, classes = np.asarray(expected), artifact.classes
    if values.dtype.kind in "UO" and artifact.loss in ANSWERS and classes is not None:
        numbers = {name: number for number, name in enumerate(classes)}
        unknown = sorted({str(value) for value in values.flat} - numbers.keys())
        if unknown:
            message = f"expected the labels {', '.join(classes[:12])}, got {unknown[0]!r}"
            raise InvalidData(Fault("/expected", "no_such_label", message, ", ".join(classes[:12]), unknown[0]))
        values = np.array([numbers[str(value)] for value in values.flat])
    if values.dtype.kind not in "biuf" or values.ndim == 0:
        raise InvalidData(Fault("/expected", "not_numbers", "expected a label or targets for each row", "numbers", str(values.dtype)))
    if artifact.loss in LABELS:
        return np.asarray(values.reshape(len(values)), dtype=np.int64)
    return np.asarray(values.reshape(len(values), -1), dtype=np.float64)
