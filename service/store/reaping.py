"""What the reaper does: idempotent updates, so that several reapers do no harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.store import events, quotas
from service.store.database import Store
from service.store.models import Installation, Job, Tenant
from service.store.states import REAPED, TERMINAL, State


@dataclass(frozen=True)
class Reaped:
    """A job whose lease had expired, and what became of it."""

    job_id: str
    state: State
    losses: int


def reap(store: Store, max_losses: int) -> list[Reaped]:
    """Take the jobs whose lease has expired from their workers.

    The fence is raised, so their workers write nothing any more. running -> queued, pausing -> paused, cancelling ->
    cancelled, stopping -> stopped; a running job that was lost `max_losses` times in a row fails as worker_lost.
    """
    with store.read() as session:
        now = store.now(session)
        expired = session.execute(sa.select(Job.id, Job.fence).where(Job.lease_until < now, Job.state.in_(REAPED))).all()
    reaped = (_reap(store, job_id, fence, max_losses) for job_id, fence in expired)
    return [one for one in reaped if one is not None]


def queued_jobs(store: Store) -> int:
    """How many jobs wait for a worker; not those that a quota of their tenant holds back."""
    with store.read() as session:
        waiting = sa.select(sa.func.count()).select_from(Job).join(Tenant).where(Job.state == State.QUEUED)
        return session.scalar(waiting.where(quotas.held_by(quotas.day(store.now(session))).is_(None))) or 0


def may_wake(store: Store, every_seconds: float) -> bool:
    """Whether queued jobs wait and no reaper of this installation has sent a wake within `every_seconds`; then this one must."""
    if not queued_jobs(store):
        return False
    with store.write() as session:
        now = store.now(session)
        due = sa.or_(Installation.woken_at <= now - every_seconds, Installation.woken_at > now + every_seconds)  # the clock was set back
        woken = sa.update(Installation).where(due).values(woken_at=now)
        return session.scalar(woken.returning(Installation.id)) is not None


def _reap(store: Store, job_id: str, fence: int, max_losses: int) -> Reaped | None:
    with store.write() as session:
        now = store.now(session)
        expired = sa.and_(Job.id == job_id, Job.fence == fence, Job.lease_until < now)
        found = sa.select(Job).where(expired)
        # A row that is locked is left to the next round: a worker that froze in a write must not keep the others waiting.
        job = session.scalar(found if store.is_sqlite else found.with_for_update(skip_locked=True))
        if job is None:  # renewed, released or reaped meanwhile
            return None
        lost_for_good = job.state == State.RUNNING and job.losses + 1 >= max_losses
        state = State.FAILED if lost_for_good else REAPED[State(job.state)]
        job.state = state
        job.fence += 1
        job.losses += 1
        job.lease_until = None
        job.worker_id = None
        job.runnable_since = now
        job.event_seq += 1
        data: dict[str, Any] = {"state": state, "lost": True, "losses": job.losses}
        if lost_for_good:
            job.reason_code = "worker_lost"
            job.reason_message = f"Its worker was lost {job.losses} times in a row without a newer checkpoint."
            data["reason"] = {"code": job.reason_code, "message": job.reason_message}
        if state in TERMINAL:
            job.finished_at = now
        events.add(session, job_id, job.event_seq, now, "state", data)
        return Reaped(job_id, state, job.losses)
