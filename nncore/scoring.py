"""What parameters are worth on chosen rows: loss, metrics and tables, as at the end of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.data import TrainingData
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.metrics import METRICS, TABLES
from nncore.preprocess.target import fitted_target
from nncore.spec.resolved import ResolvedSpec

BLOCKS_AT_ONCE = 8  # between two looks up


@dataclass(frozen=True)
class Score:
    """rows: how many were judged. loss: their mean, None where it is no finite number. metrics, tables: as of an epoch; None likewise."""

    rows: int
    loss: float | None
    metrics: dict[str, float | None]
    tables: dict[str, Any] = field(default_factory=dict)


class Scorer:
    """Judges one artefact on rows of the data it was trained with."""

    def __init__(self, spec: ResolvedSpec, data: TrainingData, artifact: Artifact) -> None:
        program = Program(artifact.network, artifact.input_shape, loss=spec.loss, weighted=spec.sample_weight is not None)
        self._machine = Machine(program, spec.dtype)
        self._machine.load(artifact.parameters)
        self._ignored = getattr(spec.loss, "ignore_index", None)
        self._rows = Rows.of(data.inputs, data.targets, data.labels, data.weights)
        self._expected = self._rows.labels if spec.loss.compares_with == "labels" else self._rows.targets
        self._scaling = fitted_target(data.target_preprocessing)
        self._asked = tuple(spec.metrics)

    def score(
        self,
        rows: np.ndarray,
        asked: Iterable[str] | None = None,
        *,
        inputs: np.ndarray | None = None,
        between: Callable[[], object] = bool,
    ) -> Score:
        """The score of the rows of these numbers. asked: metrics and tables; default those of the spec.

        inputs: (rows, numbers of an item), judged in place of those that the rows have. between: called now and then, for who must look
        up in the midst of many rows.
        """
        data = self._rows
        order = np.ascontiguousarray(rows, dtype=np.int64)
        expected = self._expected[order]
        if inputs is not None:
            data = Rows.of(inputs, *(part[order] if len(part) else None for part in data[1:]))
            order = np.arange(len(order))
        outputs = np.empty((len(order), self._machine.program.evaluation.outputs.size), self._machine.dtype)
        sums, step = np.zeros(SUMS), self._machine.program.block_rows * BLOCKS_AT_ONCE
        for first in range(0, len(order), step):
            between()
            self._machine.run_blocks(sums, data, order[first : first + step], outputs[first : first + step])
        counted = slice(None) if self._ignored is None else expected != self._ignored
        judged, wanted = outputs[counted], expected[counted]
        if self._scaling is not None:
            judged, wanted = self._scaling.undone(judged), self._scaling.undone(wanted)
        names = self._asked if asked is None else tuple(asked)
        found = {name: METRICS[name].compute(judged, wanted) for name in names if name in METRICS and len(wanted)}
        tables = {name: TABLES[name].compute(judged, wanted) for name in names if name in TABLES}
        loss = finite(sums[LOSS_SUM] / sums[ROW_SUM]) if sums[ROW_SUM] else None
        return Score(len(order), loss, {name: finite(value) for name, value in found.items()}, tables)


def finite(value: float) -> float | None:
    """The number, or None, which JSON can say, for one that is none."""
    return float(value) if isfinite(value) else None
