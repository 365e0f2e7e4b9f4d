"""What a job reports on its way: collected, thinned, and written in small batches, never per step."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any, Protocol

from nncore.checkpoint import Snapshot
from nncore.report import Report
from service.store.claims import Progress
from service.store.metrics import Metric

MOST_METRICS = 2000  # rows of epochs of a job; with more epochs, every n-th is kept, and the last
FLUSH_SECONDS = 0.5
OF_AN_EPOCH = ("loss", "validation_loss", "metrics", "tables", "learning_rate")  # what the job shows of the last epoch that ended
OF_THE_WAY = ("loss", "learning_rate")  # and of the last report
RATES = 32  # of the last writes, from which it is told how long the rest may take


class Counted(Protocol):
    """Something that goes on step by step: a trainer, for one."""

    @property
    def step(self) -> int: ...

    @property
    def epoch(self) -> int: ...

    @property
    def epochs(self) -> int: ...

    @property
    def finished(self) -> bool: ...


class Recorder:
    """Collects what is reported between two writes to the store."""

    def __init__(self, work: Counted, most_metrics: int = MOST_METRICS) -> None:
        self._work = work
        self._every_epochs = math.ceil(work.epochs / most_metrics)
        self._waiting: list[Report] = []
        self._latest: Report | None = None
        self._ended: Report | None = None  # the latest of an epoch's end
        self._values: dict[str, Any] = {}
        self._rates: deque[float] = deque(maxlen=RATES)
        self._step = work.step
        self._since = self._read_at = time.monotonic()

    def add(self, report: Report) -> None:
        """Keep what the report says of its epoch, and how far the job is."""
        self._latest = report
        if report.epoch_ended:
            self._ended = report
            kept = report.epoch % self._every_epochs == 0 or self._work.finished
        else:
            kept = False
        if kept or report.recent_loss is not None:
            self._waiting.append(report)

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._since >= FLUSH_SECONDS

    def waiting(self) -> tuple[Progress, list[Metric]]:
        """What is to be written now. Once it is, call `written`."""
        for report, news in ((self._ended, OF_AN_EPOCH), (self._latest, OF_THE_WAY)):
            if report is not None:
                values = reported(report)
                self._values |= {name: values[name] for name in news}
        self._read_at, steps = time.monotonic(), self._work.step - self._step
        seconds = self._read_at - self._since
        if steps and seconds > 0:
            self._values["steps_per_second"] = round(steps / seconds, 3)
            rates = sorted([*self._rates, steps / seconds])
            self._values["median_rate"], self._values["slow_rate"] = (round(rates[len(rates) // part], 6) for part in (2, 10))
        return Progress(self._work.step, self._work.epoch, dict(self._values), seconds), [_metric(report) for report in self._waiting]

    def written(self) -> None:
        """The next write speaks of what comes after the last `waiting`."""
        self._waiting.clear()
        steps, seconds = self._work.step - self._step, self._read_at - self._since
        if steps and seconds > 0:
            self._rates.append(steps / seconds)
        self._since, self._step = self._read_at, self._work.step

    def resume(self) -> None:
        """Start the clock again: the trainer was put aside since the last write."""
        self._since, self._step = time.monotonic(), self._work.step


def _metric(report: Report) -> Metric:
    told = reported(report)
    del told["tables"]  # the job and its snapshots tell those
    return Metric(report.step, report.epoch, told)


def reported(found: Report | Snapshot) -> dict[str, Any]:
    """What the API shows of a report, with None where a number is NaN or infinite, which JSON cannot say."""
    metrics = {name: _finite(value) for name, value in found.metrics.items()}
    found_rate = found.learning_rate if isinstance(found, Report) else None
    losses = {"loss": _finite(found.loss), "validation_loss": _finite(found.validation_loss)}
    told = {**losses, "metrics": metrics, "tables": found.tables, "learning_rate": found_rate}
    if isinstance(found, Report) and found.recent_loss is not None:
        told |= {"recent_loss": _finite(found.recent_loss), "epoch_ended": found.epoch_ended}
    if isinstance(found, Report) and found.diagnostics is not None:
        told |= {"diagnostics": found.diagnostics}
    return told


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
