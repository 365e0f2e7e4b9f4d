"""A slice: what one job gets of a turn.

Open the data, restore the newest checkpoint or start, work in pieces of about 0.2 s, and look up between them:
is the lease still mine, is a pause, stop or cancel asked for, is the deadline over, does this worker stop, is the turn over,
does a newcomer wait?
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from typing import TypeVar

import structlog

from nncore import checkpoint
from nncore.data import TrainingData
from nncore.errors import CheckpointMismatch, Diverged, InvalidData, InvalidFile
from nncore.learning_rates import with_found_rate
from nncore.machine import warm
from nncore.machine.kernels import Kernel
from nncore.spec import ResolvedSpec
from service.kinds import Kind
from service.settings import Settings
from service.store import blobs, checkpoints, claims, datasets, deadlines
from service.store.claims import Ending, Progress
from service.store.database import Store
from service.store.errors import LostClaim, StorageFull, StoreBusy
from service.store.ids import new_id
from service.store.states import Outcome, State
from worker import explaining, predicting, training
from worker.dataset_cache import DamagedDataset, open_table
from worker.lease import Lease
from worker.work import CancelAsked, Left, Work, Written

LOOK_SECONDS = 0.5  # between two looks at the job's row
COMPILING_SECONDS = 1.0  # loading kernels never takes so long
RETRY_SECONDS = 0.5  # between two tries of a write that the database did not take

Result = TypeVar("Result")
logger = structlog.get_logger(__name__)


class Interrupted(Exception):
    """The job was asked to pause, stop or cancel before its first step."""


class Overdue(Exception):
    """The job's deadline is over."""


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

    def run(self, work: Work | None) -> Work | None:
        """Work on the job; answer it if it was released with steps left, so that the next slice may go on with it.

        work: the same job's, from the slice before, if nobody else had the job since.
        Raises LostClaim when the job is not ours any more: everything is dropped.
        """
        try:
            if work is None:
                work = self._begin()
            else:
                work.recorder.resume()
            outcome = self._go_on(work)
            if outcome is None:
                return self._release(work)
            self._finish(outcome, work)
        except CancelAsked:
            self._finish(Outcome.CANCELLED, work)
        except Interrupted:
            seconds = time.monotonic() - self._began_at
            self._insist(lambda: claims.release(self._store, self._claim, Progress(self._claim.step, 0, {}, seconds)))
        except Overdue:
            self._finish(Outcome.FAILED, work, deadlines.REASON)
        except Diverged as error:
            self._finish(Outcome.FAILED, work, ("diverged", str(error)))
        except (InvalidData, InvalidFile, DamagedDataset) as error:
            self._finish(Outcome.FAILED, None, ("invalid_data", str(error)))
        except MemoryError:
            self._finish(Outcome.FAILED, None, ("out_of_memory", "The worker had not enough memory for this job."))
        return None

    def _begin(self) -> Work:
        """The work where the job stands: at its newest checkpoint, or at the beginning."""
        claim = self._claim
        dataset = datasets.get(self._store, claim.tenant_id, claim.dataset_id)
        table = open_table(self._store, self._settings.cache_dir, dataset, self._settings.cache_bytes, self._lease.moved)
        work: Work
        if claim.kind == Kind.PREDICT:
            work = predicting.begin(claim, table, self._compile, self._network)
        elif claim.kind == Kind.EXPLAIN:
            work = explaining.begin(claim, table, self._compile, self._network)
        else:
            work = training.begin(claim, table, self._compile, self._settled, self._newest)
        if claim.slices > 1 or claim.parent is not None:
            self._restore(work)
        self._lease.moved()
        work.recorder.resume()
        work.saved_step, work.saved_at = work.step, time.monotonic()
        return work

    def _newest(self) -> bytes | None:
        """The newest checkpoint of the job."""
        found = checkpoints.newest(self._store, self._claim.job_id)
        return None if found is None else found[2]

    def _network(self) -> bytes:
        """The file of the network that the job was accepted with."""
        found = checkpoints.newest(self._store, self._claim.job_id, until=0)
        if found is None:
            raise InvalidFile("the network that this job was accepted with is damaged in the store")
        return found[2]

    def _compile(self, dtype: str, kernels: Iterable[Kernel]) -> None:
        """Load the kernels; those that nobody has compiled yet are compiled, before the job's clock starts, and an event says so."""
        with self._lease.patient():
            seconds = warm(dtype, kernels)
        if seconds > COMPILING_SECONDS:
            self._insist(lambda: claims.note(self._store, self._claim, "kernels_compiled", {"seconds": round(seconds, 3)}))

    def _settled(self, spec: ResolvedSpec, data: TrainingData) -> ResolvedSpec:
        """The spec with its learning rate found, and written down: whoever has the job next has it.

        Raises LostClaim, Interrupted, Overdue.
        """
        started, learned = time.monotonic(), None
        newest = checkpoints.newest(self._store, self._claim.job_id)
        if newest is not None:  # the parameters of its parent
            learned = checkpoint.decode(newest[2])["parameters"]
        spec = with_found_rate(spec, data, learned, self._look_up_early)
        rate = {"learning_rate": spec.optimizer.rate}
        content, seconds = spec.model_dump(mode="json"), time.monotonic() - started
        self._insist(lambda: claims.settle(self._store, self._claim, content, rate, seconds))
        return spec

    def _look_up_early(self) -> None:
        """Between two steps that find something out. Raises LostClaim; Interrupted where something is asked of the job; Overdue."""
        self._lease.moved()
        if not self._lease.held:
            raise LostClaim(self._claim.job_id)
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            state, _, overdue = self._look()
            if state is not State.RUNNING:
                raise Interrupted
            if overdue:
                raise Overdue

    def _restore(self, work: Work) -> None:
        newest, parent = checkpoints.newest(self._store, self._claim.job_id), self._claim.parent
        if newest is None and parent is not None and parent["from_checkpoint"] is not None:
            raise InvalidFile("what this job goes on from is damaged in the store")
        if newest is not None:
            step, _, state = newest
            try:
                work.restore(step, state)
            except (CheckpointMismatch, InvalidFile) as error:  # written by another version of ours
                if parent is not None:
                    raise InvalidFile(f"what this job goes on from cannot be used: {error}") from error
                logger.warning("the checkpoint cannot be used, the job starts again", error=str(error))
        self._insist(lambda: claims.rewind(self._store, self._claim, work.step, work.epoch))

    def _go_on(self, work: Work) -> Outcome | None:
        """Work until the job is done, or what was asked of it is known, or it is time to leave (None)."""
        for _ in work.run(self._settings.call_seconds):
            self._lease.moved()
            if not self._lease.held:
                raise LostClaim(self._claim.job_id)
            if work.finished:
                break
            if self._must_leave():
                return None
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                state, newcomer_waits, overdue = self._look()
                if state is State.STOPPING:
                    return Outcome.STOPPED
                if state is State.CANCELLING:
                    return Outcome.CANCELLED
                if overdue and state is State.RUNNING:
                    raise Overdue
                if state is State.PAUSING or newcomer_waits:
                    return None
                self._write_on_the_way(work)
        return Outcome.SUCCEEDED

    def _look(self) -> tuple[State, bool, bool]:
        """The job's state, whether to make room for a newcomer, and whether its deadline is over; as if nothing were asked while the
        database is out of reach.

        A slice has lasted `newcomer_seconds` before it makes room: a stream of newcomers must not leave a long job crumbs only.
        """
        self._looked_at = time.monotonic()
        try:
            look = claims.look(self._store, self._claim, self._settings.newcomer_seconds)
        except StoreBusy:
            return State.RUNNING, False, False
        makes_room = look.newcomer_waits and time.monotonic() - self._began_at >= self._settings.newcomer_seconds
        return look.state, makes_room, look.overdue

    def _look_up(self) -> None:
        """Between two chunks of what is written: large parameters on a slow disk take minutes. Raises LostClaim, CancelAsked."""
        self._lease.moved()
        if not self._lease.held:
            raise LostClaim(self._claim.job_id)
        if time.monotonic() - self._looked_at >= LOOK_SECONDS and self._look()[0] is State.CANCELLING:
            raise CancelAsked

    def _write_on_the_way(self, work: Work) -> None:
        """Metrics and checkpoint, if they are due. What the database does not take now is written later."""
        try:
            saving = work.save_is_due(self._settings)
            if work.recorder.due or saving:  # what was reported before a checkpoint is not reported again behind it
                claims.record(self._store, self._claim, *work.recorder.waiting())
                work.recorder.written()
            if saving:
                self._save(work)
        except (StoreBusy, StorageFull) as error:
            logger.warning("not written now, tried again later", error=str(error))

    def _save(self, work: Work) -> None:
        started = time.monotonic()
        checkpoints.save(self._store, self._claim, work.step, work.epoch, work.state(), self._look_up)
        work.saved_step, work.saved_at = work.step, time.monotonic()
        work.save_seconds = work.saved_at - started

    def _release(self, work: Work) -> Work | None:
        """Save a checkpoint and give the job back; answer its work if the job stays in the queue."""
        if work.saved_step != work.step:
            self._insist(lambda: self._save(work))
        state = self._insist(lambda: claims.release(self._store, self._claim, *work.recorder.waiting()))
        work.recorder.written()
        logger.info("released", state=state, step=work.step)
        return work if state is State.QUEUED else None

    def _finish(self, outcome: Outcome, work: Work | None, reason: tuple[str, str] | None = None) -> None:
        """End the job: first the bytes of what it leaves, which nothing names yet, then all the rest at once; few bytes with the rest."""
        left, small_blobs = Left(), dict[str, bytes]()
        if work is not None and outcome is not Outcome.CANCELLED:
            try:
                left = work.left(partial(self._write, small_blobs), self._look_up)
            except CancelAsked:
                small_blobs.clear()
        progress, metrics = (None, []) if work is None else work.recorder.waiting()
        ending = Ending(outcome, left.snapshots, reason, left.files, left.assessment, small_blobs)
        state = self._insist(lambda: claims.finish(self._store, self._claim, ending, progress, metrics))
        logger.info("finished", state=state, reason=reason and reason[0])

    def _write(self, small_blobs: dict[str, bytes], pieces: Iterable[bytes]) -> Written:
        """Write a blob, its bytes being kept for another try; or put it among the small ones, which are written with the end of the job."""
        held, digest = [], sha256()
        for piece in pieces:
            self._look_up()
            held.append(piece)
            digest.update(piece)
        size = sum(map(len, held))
        if size <= blobs.SMALL_BYTES:
            small_blobs[blob_id := new_id("blob")] = b"".join(held)
        else:
            blob_id = self._insist(lambda: blobs.write(self._store, held, self._look_up))
        return Written(blob_id, digest.hexdigest(), size)

    def _insist(self, write: Callable[[], Result]) -> Result:
        """The answer of `write`, tried again while the database does not take it and the lease is held."""
        while self._lease.held:
            try:
                return write()
            except (StoreBusy, StorageFull) as error:
                logger.warning("the store did not take it, trying again", error=str(error))
                time.sleep(RETRY_SECONDS)
        raise LostClaim(self._claim.job_id)
