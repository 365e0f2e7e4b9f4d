"""Jobs of the kind `train`: a trainer under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import structlog

from nncore import checkpoint, formats
from nncore.assessment import Assessment, assess
from nncore.auto import AUTO
from nncore.checkpoint import Snapshot
from nncore.data import Fitted, TrainingData
from nncore.errors import CheckpointMismatch, InvalidFile
from nncore.scoring import Scorer
from nncore.spec import ResolvedSpec
from nncore.spec.reports import most_reports
from nncore.table import Table
from nncore.trainer import Trainer, program_of
from service.store.claims import Claim, NewSnapshot
from service.store.errors import LostClaim
from worker.recorder import MOST_METRICS, Recorder, reported
from worker.work import CancelAsked, Compile, Left, Work, Write

logger = structlog.get_logger(__name__)

Settle = Callable[[ResolvedSpec, TrainingData], ResolvedSpec]
"""Finds what a spec still leaves open, and writes it down."""


class Training(Work):
    """Trains one network."""

    def __init__(self, trainer: Trainer, table: Table) -> None:
        most = min(MOST_METRICS, most_reports(trainer.spec.network, trainer.spec.diagnostics))
        super().__init__(trainer.step, Recorder(trainer, most))
        self.trainer, self._table = trainer, table

    @property
    def step(self) -> int:
        return self.trainer.step

    @property
    def epoch(self) -> int:
        return self.trainer.epoch

    @property
    def finished(self) -> bool:
        return self.trainer.finished

    def run(self, seconds: float) -> Iterator[None]:
        """Many epochs of a small job go by between two looks up, a few looks up between two epochs of a large one."""
        began_at = time.monotonic()
        for report in self.trainer.run(seconds):
            self.recorder.add(report)
            if time.monotonic() - began_at >= seconds / 2:  # else the next call might make it nearly twice as long
                yield
                began_at = time.monotonic()
        yield

    def state(self) -> bytes:
        return checkpoint.encode(self.trainer.state())

    def restore(self, step: int, state: bytes) -> None:
        self.trainer.restore(checkpoint.decode(state))

    def left(self, write: Write, between: Callable[[], object]) -> Left:
        """The best and the last parameters, one snapshot where both are of the same step; and what the best are worth."""
        state = self.trainer.state()
        best = checkpoint.artifact_from(self.trainer.spec, state, "best")
        more, assessment = self._tested(best, between), self._assessed(best, between)
        if assessment is not None:
            loud = [finding for finding in assessment.findings if finding.severity != "info"]
            more["findings"] = [asdict(each) for each in loud]
        told = None if assessment is None else asdict(assessment)
        if best.step == self.step:
            return Left([_written(best, more, write, is_best=True, is_last=True)], assessment=told)
        last = checkpoint.artifact_from(self.trainer.spec, state, "last")
        snapshots = [_written(best, more, write, is_best=True, is_last=False), _written(last, {}, write, is_best=False, is_last=True)]
        return Left(snapshots, assessment=told)

    def _assessed(self, best: Snapshot, between: Callable[[], object]) -> Assessment | None:
        """What the best parameters are worth. Nothing that goes wrong here is worth more than what was learned."""
        try:
            return assess(self.trainer.spec, self.trainer.data, self._table, best.artifact, between)
        except (LostClaim, CancelAsked):
            raise
        except Exception:
            logger.exception("the job is not assessed")
            return None

    def _tested(self, best: Snapshot, between: Callable[[], object]) -> dict[str, Any]:
        """What the best parameters are worth on the rows that were kept for it; nothing where there are none."""
        spec, data = self.trainer.spec, self.trainer.data
        if not len(data.test_rows):
            return {}
        return {"test": vars(Scorer(spec, data, best.artifact).score(data.test_rows, between=between))}


def begin(claim: Claim, table: Table, compile: Compile, settle: Settle, newest: Callable[[], bytes | None]) -> Training:
    """A training at its beginning.

    settle: asked where the learning rate is still to be found. newest: gives the job's newest checkpoint, in which the preprocessing lies
    that a job keeps of its parent. Raises InvalidData, and InvalidFile where that is damaged.
    """
    spec = ResolvedSpec.model_validate(claim.spec)
    compile(spec.dtype, program_of(spec).kernels())
    data = TrainingData.prepare(spec, table, _kept(claim, newest))
    return Training(Trainer(settle(spec, data) if spec.optimizer.learning_rate == AUTO else spec, data), table)


def _kept(claim: Claim, newest: Callable[[], bytes | None]) -> Fitted | None:
    """The preprocessing of the parent, where it is kept; None where the job fits its own."""
    if (claim.parent or {}).get("preprocessing") != "kept" or (state := newest()) is None:
        return None
    try:
        found = checkpoint.about(checkpoint.decode(state))
    except CheckpointMismatch as error:
        raise InvalidFile(f"what this job goes on from cannot be used: {error}") from error
    return Fitted(found["preprocessing"], found.get("target_preprocessing"))


def _written(found: Snapshot, more: dict[str, Any], write: Write, *, is_best: bool, is_last: bool) -> NewSnapshot:
    file = write([formats.write(found.artifact, "safetensors")])
    return NewSnapshot(
        step=found.step,
        epoch=found.epoch,
        best=is_best,
        last=is_last,
        digest=file.digest,
        bytes=file.bytes,
        values=reported(found) | more,
        blob_id=file.blob_id,
    )
