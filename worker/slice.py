"""A slice: what one job gets of a turn.

Open the data, restore the newest checkpoint or start, train in compiled calls of about 0.2 s, and look up between them:
is the lease still mine, is a pause, stop or cancel asked for, does this worker stop, is the turn over, does a newcomer wait?
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

import structlog

from nncore import checkpoint, formats
from nncore.checkpoint import Snapshot
from nncore.data import TrainingData
from nncore.errors import CheckpointMismatch, Diverged, InvalidData, InvalidFile
from nncore.machine import warm
from nncore.spec import ResolvedSpec
from nncore.trainer import Trainer, program_of
from service.settings import Settings
from service.store import blobs, checkpoints, claims, datasets
from service.store.claims import Ending, NewSnapshot
from service.store.database import Store
from service.store.errors import LostClaim, StorageFull, StoreBusy
from service.store.states import Outcome, State
from worker.dataset_cache import DamagedDataset, open_table
from worker.lease import Lease
from worker.recorder import Recorder, reported

LOOK_SECONDS = 0.5  # between two looks at the job's row
COMPILING_SECONDS = 1.0  # loading kernels never takes so long
RETRY_SECONDS = 0.5  # between two tries of a write that the database did not take

Result = TypeVar("Result")
logger = structlog.get_logger(__name__)


@dataclass
class Training:
    """A trainer under way, and what is known of its last checkpoint."""

    trainer: Trainer
    recorder: Recorder
    saved_step: int
    saved_at: float
    save_seconds: float = 0.0

    def save_is_due(self, settings: Settings) -> bool:
        """Whether to write a checkpoint now: every few seconds, but never for more than a small share of the time."""
        pause = max(settings.checkpoint_seconds, self.save_seconds / settings.checkpoint_share)
        return time.monotonic() - self.saved_at >= pause


class CancelAsked(Exception):
    """The job was cancelled while its bytes were being written."""


class Slice:
    """One claimed job, from claim to release or finish."""

    def __init__(self, store: Store, settings: Settings, lease: Lease, must_leave: Callable[[], bool]) -> None:
        """must_leave: whether the turn is over or this worker stops."""
        self._store = store
        self._settings = settings
        self._lease = lease
        self._claim = lease.claim
        self._must_leave = must_leave
        self._began_at = self._looked_at = time.monotonic()

    def run(self, training: Training | None) -> Training | None:
        """Work on the job; answer its training if it was released with steps left, so that the next slice may go on with it.

        training: the same job's, from the slice before, if nobody else had the job since.
        Raises LostClaim when the job is not ours any more: everything is dropped.
        """
        try:
            if training is None:
                training = self._begin()
            else:
                training.recorder.resume()
            outcome = self._train(training)
            if outcome is None:
                return self._release(training)
            self._finish(outcome, training)
        except CancelAsked:
            self._finish(Outcome.CANCELLED, training)
        except Diverged as error:
            self._finish(Outcome.FAILED, training, ("diverged", str(error)))
        except (InvalidData, InvalidFile, DamagedDataset) as error:
            self._finish(Outcome.FAILED, None, ("invalid_data", str(error)))
        except MemoryError:
            self._finish(Outcome.FAILED, None, ("out_of_memory", "The worker had not enough memory for this job."))
        return None

    def _begin(self) -> Training:
        """A trainer where the job stands: at its newest checkpoint, or at the beginning."""
        claim = self._claim
        dataset = datasets.get(self._store, claim.tenant_id, claim.dataset_id)
        table = open_table(self._store, self._settings.cache_dir, dataset, self._settings.cache_bytes, self._lease.moved)
        spec = ResolvedSpec.model_validate(claim.spec)
        self._compile(spec)
        trainer = Trainer(spec, TrainingData.prepare(spec, table))
        if claim.slices > 1 or claim.parent is not None:
            self._restore(trainer)
        self._lease.moved()
        return Training(trainer, Recorder(trainer), saved_step=trainer.step, saved_at=time.monotonic())

    def _compile(self, spec: ResolvedSpec) -> None:
        """Load the kernels; those that nobody has compiled yet are compiled, before the job's clock starts, and an event says so."""
        with self._lease.patient():
            seconds = warm(spec.dtype, program_of(spec).kernels())
        if seconds > COMPILING_SECONDS:
            self._insist(lambda: claims.note(self._store, self._claim, "kernels_compiled", {"seconds": round(seconds, 3)}))

    def _restore(self, trainer: Trainer) -> None:
        newest, parent = checkpoints.newest(self._store, self._claim.job_id), self._claim.parent
        if newest is None and parent is not None and parent["from_checkpoint"] is not None:
            raise InvalidFile("what this job goes on from is damaged in the store")
        if newest is not None:
            _, _, data = newest
            try:
                trainer.restore(checkpoint.decode(data))
            except (CheckpointMismatch, InvalidFile) as error:  # written by another version of ours
                if parent is not None:
                    raise InvalidFile(f"what this job goes on from cannot be used: {error}") from error
                logger.warning("the checkpoint cannot be used, the job starts again", error=str(error))
        self._insist(lambda: claims.rewind(self._store, self._claim, trainer.step, trainer.epoch))

    def _train(self, training: Training) -> Outcome | None:
        """Train until the job is done, or what was asked of it is known, or it is time to leave (None)."""
        for report in training.trainer.run(self._settings.call_seconds):
            self._lease.moved()
            training.recorder.add(report)
            if not self._lease.held:
                raise LostClaim(self._claim.job_id)
            if training.trainer.finished:
                break
            if self._must_leave():
                return None
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                state, newcomer_waits = self._look()
                if state is State.STOPPING:
                    return Outcome.STOPPED
                if state is State.CANCELLING:
                    return Outcome.CANCELLED
                if state is State.PAUSING or newcomer_waits:
                    return None
                self._write_on_the_way(training)
        return Outcome.SUCCEEDED

    def _look(self) -> tuple[State, bool]:
        """The job's state, and whether to make room for a newcomer; as if nothing were asked while the database is out of reach.

        A slice has lasted `newcomer_seconds` before it makes room: a stream of newcomers must not leave a long job crumbs only.
        """
        self._looked_at = time.monotonic()
        try:
            look = claims.look(self._store, self._claim, self._settings.newcomer_seconds)
        except StoreBusy:
            return State.RUNNING, False
        return look.state, look.newcomer_waits and time.monotonic() - self._began_at >= self._settings.newcomer_seconds

    def _look_up(self) -> None:
        """Between two chunks of what is written: large parameters on a slow disk take minutes. Raises LostClaim, CancelAsked."""
        self._lease.moved()
        if not self._lease.held:
            raise LostClaim(self._claim.job_id)
        if time.monotonic() - self._looked_at >= LOOK_SECONDS and self._look()[0] is State.CANCELLING:
            raise CancelAsked

    def _write_on_the_way(self, training: Training) -> None:
        """Metrics and checkpoint, if they are due. What the database does not take now is written later."""
        try:
            if training.recorder.due:
                claims.record(self._store, self._claim, *training.recorder.waiting())
                training.recorder.written()
            if training.save_is_due(self._settings):
                self._save(training)
        except (StoreBusy, StorageFull) as error:
            logger.warning("not written now, tried again later", error=str(error))

    def _save(self, training: Training) -> None:
        started = time.monotonic()
        trainer = training.trainer
        checkpoints.save(self._store, self._claim, trainer.step, trainer.epoch, checkpoint.encode(trainer.state()), self._look_up)
        training.saved_step, training.saved_at = trainer.step, time.monotonic()
        training.save_seconds = training.saved_at - started

    def _release(self, training: Training) -> Training | None:
        """Save a checkpoint and give the job back; answer its training if the job stays in the queue."""
        if training.saved_step != training.trainer.step:
            self._insist(lambda: self._save(training))
        state = self._insist(lambda: claims.release(self._store, self._claim, *training.recorder.waiting()))
        training.recorder.written()
        logger.info("released", state=state, step=training.trainer.step)
        return training if state is State.QUEUED else None

    def _finish(self, outcome: Outcome, training: Training | None, reason: tuple[str, str] | None = None) -> None:
        """End the job: first the snapshots' bytes, which nothing names yet, then all the rest at once."""
        try:
            snapshots = [] if training is None or outcome is Outcome.CANCELLED else self._snapshots(training.trainer)
        except CancelAsked:
            snapshots = []
        progress, metrics = (None, []) if training is None else training.recorder.waiting()
        ending = Ending(outcome, snapshots, reason)
        state = self._insist(lambda: claims.finish(self._store, self._claim, ending, progress, metrics))
        logger.info("finished", state=state, reason=reason and reason[0])

    def _snapshots(self, trainer: Trainer) -> list[NewSnapshot]:
        """The best and the last parameters, written as blobs; one snapshot where both are of the same step."""
        state = trainer.state()
        best, last = (checkpoint.artifact_from(trainer.spec, state, which) for which in ("best", "last"))
        if best.step == last.step:
            return [self._snapshot(best, is_best=True, is_last=True)]
        return [self._snapshot(best, is_best=True, is_last=False), self._snapshot(last, is_best=False, is_last=True)]

    def _snapshot(self, found: Snapshot, *, is_best: bool, is_last: bool) -> NewSnapshot:
        data = formats.write(found.artifact, "safetensors")
        return NewSnapshot(
            step=found.step,
            epoch=found.epoch,
            best=is_best,
            last=is_last,
            digest=sha256(data).hexdigest(),
            bytes=len(data),
            values=reported(found),
            blob_id=self._insist(lambda: blobs.write(self._store, [data], self._look_up)),
        )

    def _insist(self, write: Callable[[], Result]) -> Result:
        """The answer of `write`, tried again while the database does not take it and the lease is held."""
        while self._lease.held:
            try:
                return write()
            except (StoreBusy, StorageFull) as error:
                logger.warning("the store did not take it, trying again", error=str(error))
                time.sleep(RETRY_SECONDS)
        raise LostClaim(self._claim.job_id)
