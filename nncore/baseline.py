"""The score of the trivial answer, which a network has to beat: the same for every row, whatever goes in.

Under a cross-entropy it is the shares that the classes have among the training rows (so the label is the most frequent one); else the
mean of their targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, prod

import numpy as np

from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.metrics import METRICS
from nncore.network import NetworkSpec
from nncore.preprocess.target import fit_target
from nncore.spec.resolved import ResolvedSpec
from nncore.split import Division, divide
from nncore.table import Column

LEAST_SHARE = 1e-7  # of a class that no training row has


@dataclass(frozen=True)
class Baseline:
    """Of the validation rows where some are held out, else of the training rows; None is no finite number.

    predicts: a class by its name, or the mean target. Metrics are in the target's own unit, the loss is that of training.
    """

    predicts: str | list[float]
    loss: float | None
    metrics: dict[str, float | None]


def baseline(spec: ResolvedSpec, column: Callable[[str], Column]) -> Baseline:
    """The baseline of a job. column: gives a column, by name; asked for the target, and those that divide the rows."""
    target, rows = column(spec.target).values, spec.sizes.rows
    split = divide(rows, Division.of(spec), column)
    training_rows, judged_rows = split.training_rows, split.validation_rows if len(split.validation_rows) else split.training_rows
    ignored = getattr(spec.loss, "ignore_index", None)
    outputs = prod(spec.output_shape)
    if spec.loss.compares_with == "labels":
        labels = np.ascontiguousarray(target, dtype=np.int64)
        seen, expected = labels[training_rows], labels[judged_rows]
        if ignored is not None:
            seen, expected = seen[seen != ignored], expected[expected != ignored]
        shares = np.maximum(np.bincount(seen, minlength=outputs) / max(1, len(seen)), LEAST_SHARE)
        answer = np.log(shares / shares.sum())
        predicts: str | list[float] = _called(spec, int(answer.argmax()))
        rows_to_judge = Rows.of(_repeated(answer, expected, spec), labels=expected)
    else:
        numbers = np.ascontiguousarray(target, dtype=spec.dtype).reshape(rows, outputs)
        seen, expected = numbers[training_rows], numbers[judged_rows]
        mean = answer = seen.mean(axis=0, dtype=np.float64)
        predicts = mean.tolist()
        if spec.loss.type == "binary_cross_entropy":
            share = mean.clip(LEAST_SHARE, 1 - LEAST_SHARE)
            answer = np.log(share / (1 - share))
            predicts = _called(spec, int(share[0] > 0.5)) if outputs == 1 else predicts
        rows_to_judge = Rows.of(_repeated(answer, expected, spec), targets=expected)
    loss_rows = rows_to_judge
    if spec.preprocess_target is not None:
        scaled = np.empty((rows, outputs), dtype=spec.dtype)
        fit_target(Column(spec.target, target), spec.preprocess_target, training_rows, scaled)
        middle = scaled[training_rows].mean(axis=0, dtype=np.float64)
        loss_rows = Rows.of(_repeated(middle, expected, spec), targets=np.ascontiguousarray(scaled[judged_rows]))
    asked = [str(name) for name in spec.metrics if name in METRICS]
    if not len(expected):
        return Baseline(predicts, None, dict.fromkeys(asked))
    judged = {name: _finite(METRICS[name].compute(rows_to_judge.inputs, expected)) for name in asked}
    return Baseline(predicts, _loss(spec, loss_rows, outputs), judged)


def _repeated(answer: np.ndarray, expected: np.ndarray, spec: ResolvedSpec) -> np.ndarray:
    return np.tile(answer.astype(spec.dtype), (len(expected), 1))


def _loss(spec: ResolvedSpec, answers: Rows, outputs: int) -> float | None:
    """The mean loss of answers that are given, by way of a network that changes nothing."""
    network = NetworkSpec.model_validate({"layers": [{"type": "flatten"}]})
    machine, sums = Machine(Program(network, (outputs,), loss=spec.loss), spec.dtype), np.zeros(SUMS)
    machine.run_blocks(sums, answers, np.arange(len(answers.inputs)), np.empty((0, outputs), machine.dtype))
    return _finite(sums[LOSS_SUM] / sums[ROW_SUM]) if sums[ROW_SUM] else None


def _called(spec: ResolvedSpec, label: int) -> str:
    return spec.classes[label] if spec.classes is not None and label < len(spec.classes) else str(label)


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None
