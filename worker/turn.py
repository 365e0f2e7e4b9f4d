"""A turn: one Celery task, about 20 s of a worker's time, in which it takes one job after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from service.settings import Settings
from service.store import claims, reaping
from service.store.claims import Claim, Ending
from service.store.clock import since_boot
from service.store.database import Store
from service.store.errors import LostClaim, StorageFull, StoreBusy, StoreError
from service.store.states import Outcome
from worker.lease import Heartbeat, Lease
from worker.slice import Slice
from worker.work import Work

ASIDE_SECONDS = 0.5  # for which a worker that may take none of the queued jobs leaves the next wake to another

logger = structlog.get_logger(__name__)


@dataclass
class Worker:
    """What a worker process has: its store, its name, and the work it put aside at the end of a slice."""

    settings: Settings
    store: Store
    worker_id: str
    fingerprint: str
    heartbeat: Heartbeat
    stopping: Callable[[], bool]
    wake: Callable[[], object]
    warm: tuple[Claim, Work] | None = field(default=None)


def take_turn(worker: Worker) -> int:
    """Work on jobs until there is none, the turn is over, or the worker stops; answer how many slices were run.

    While jobs wait, one wake is sent at the start, for an idle worker, and one at the end, for the next turn. A worker that
    found jobs of living workers of another environment only hands the wake on, and stays busy for a moment lest it take it.
    """
    ends_at = time.monotonic() + worker.settings.turn_seconds
    slices = 0
    try:
        while time.monotonic() < ends_at and not worker.stopping():
            claimed_at = since_boot()
            claim = claims.claim(worker.store, worker.worker_id, worker.fingerprint, worker.settings.lease_seconds)
            if claim is None:
                break
            if slices == 0 and reaping.queued_jobs(worker.store):
                worker.wake()
            run_slice(worker, claim, claimed_at, ends_at)
            slices += 1
        if reaping.queued_jobs(worker.store):
            worker.wake()
            if not slices and not worker.stopping():
                time.sleep(ASIDE_SECONDS)
    except StoreError as error:  # the reaper sends another wake when the store is back
        logger.warning("turn ended early", error=str(error))
    return slices


def run_slice(worker: Worker, claim: Claim, claimed_at: float, ends_at: float) -> None:
    """Give `claim` its slice, under a lease that the heartbeat renews. What goes wrong ends the job, never the worker."""
    lease = Lease(claim, claimed_at, worker.settings)
    worker.heartbeat.lease = lease
    work, worker.warm = _warm_work(worker.warm, claim), None
    with structlog.contextvars.bound_contextvars(job_id=claim.job_id):
        logger.info("claimed", slice=claim.slices, step=claim.step, warm=work is not None)
        try:
            slice = Slice(worker.store, worker.settings, lease, lambda: worker.stopping() or time.monotonic() >= ends_at)
            left = slice.run(work)
            worker.warm = None if left is None else (claim, left)
        except LostClaim:
            logger.warning("the job is not this worker's any more, everything is dropped")
        except (StoreBusy, StorageFull):
            raise
        except Exception:
            logger.exception("internal error, the job fails")
            reason = ("internal", "The worker met an error of its own. Its log has the details, beside this job's id.")
            with suppress(LostClaim):
                claims.finish(worker.store, claim, Ending(Outcome.FAILED, reason=reason))
        finally:
            worker.heartbeat.lease = None


def _warm_work(warm: tuple[Claim, Work] | None, claim: Claim) -> Work | None:
    """The work put aside, if it is this job's and nobody claimed or reaped the job since."""
    if warm is None:
        return None
    before, work = warm
    if before.job_id == claim.job_id and before.fence + 1 == claim.fence and work.step == claim.step:
        return work
    return None
