"""What an epoch is judged by: loss and metrics of the validation rows; without those, metrics of the training rows.

It goes on block by block, as long as it is given time, so that a worker is never out of reach for the length of a large validation set.
How it is cut changes no bit: the sums grow block after block, in float64.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.machine.machine import Machine, Rows
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.metrics import METRICS, TABLES
from nncore.preprocess.target import fitted_target

if TYPE_CHECKING:
    from nncore.data import TrainingData
    from nncore.spec import ResolvedSpec


class EpochEvaluation:
    """One evaluation after the other, each with the parameters that the machine has at its start."""

    def __init__(self, machine: Machine, rows: Rows, spec: ResolvedSpec, data: TrainingData) -> None:
        self._machine, self._rows = machine, rows
        self._metrics = {str(name): METRICS[name] for name in spec.metrics or () if name in METRICS}
        self._tables = {str(name): TABLES[name] for name in spec.metrics or () if name in TABLES}
        self.held_out = len(data.validation_rows) > 0
        wanted = data.validation_rows if self.held_out else data.training_rows
        judges = bool(self._metrics or self._tables)
        self._order = np.ascontiguousarray(wanted if self.held_out or judges else wanted[:0], dtype=np.int64)
        kept = len(self._order) if judges else 0
        self._outputs = np.empty((kept, machine.program.evaluation.outputs.size), machine.dtype)
        expected = rows.labels if spec.loss.compares_with == "labels" else rows.targets
        expected = expected[self._order[:kept]]
        ignored = getattr(spec.loss, "ignore_index", None)
        self._counted = slice(None) if ignored is None else expected != ignored
        self._expected = expected[self._counted]
        self._rows_per_call = machine.program.block_rows
        self._scaling = fitted_target(data.target_preprocessing)
        self._expected_in_its_unit = self._expected if self._scaling is None else self._scaling.undone(self._expected)
        self._sums = np.zeros(SUMS)
        self._done = 0

    def restart(self) -> None:
        """Begin anew, with other parameters."""
        self._done = 0
        self._sums[:] = 0

    def advance(self, seconds: float) -> bool:
        """Evaluate for about so long, at least one block; whether all rows are evaluated."""
        started = time.perf_counter()
        while self._done < len(self._order):
            last = self._done + self._rows_per_call
            before = time.perf_counter()
            self._machine.run_blocks(self._sums, self._rows, self._order[self._done : last], self._outputs[self._done : last])
            self._done = min(last, len(self._order))
            now = time.perf_counter()
            if now - started >= seconds:
                break
            if now - before < seconds / 10:
                self._rows_per_call *= 2  # still whole blocks
        return self._done == len(self._order)

    @property
    def validation_loss(self) -> float | None:
        """The mean over the validation rows, not always finite; None when no rows are held out."""
        if not self.held_out:
            return None
        return float(self._sums[LOSS_SUM] / self._sums[ROW_SUM]) if self._sums[ROW_SUM] else 0.0  # every row was ignored

    def metrics(self) -> dict[str, float]:
        """The metrics that were asked for, as far as they are a number; of targets in their own unit."""
        if not self._metrics:
            return {}
        outputs = self._outputs[self._counted]
        if self._scaling is not None:
            outputs = self._scaling.undone(outputs)
        return {name: metric.compute(outputs, self._expected_in_its_unit) for name, metric in self._metrics.items()}

    def tables(self) -> dict[str, Any]:
        """Those that are more, as JSON."""
        if not self._tables:
            return {}
        outputs = self._outputs[self._counted]
        return {name: table.compute(outputs, self._expected) for name, table in self._tables.items()}
