"""The right to work on a job: claim it, look whether it is still yours, record, release, finish.

Every write of a worker carries the fence of its claim and is refused (LostClaim) once another claim or a reap has raised
it, or the job has no owner any more. So a worker that froze and wakes too late writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import events, queue_order, quotas
from service.store.database import Store
from service.store.errors import LostClaim, StoreBusy
from service.store.models import Checkpoint, Job, JobMetric, JobSpec, Snapshot, Tenant, Worker
from service.store.states import FINISHED, OWNED, RELEASED, TERMINAL, Outcome, State

ALIVE_SECONDS = 60.0  # a worker that was heard of within this time is alive


@dataclass(frozen=True)
class Claim:
    """A job that is this worker's while `fence` is the job's."""

    job_id: str
    fence: int
    tenant_id: str
    dataset_id: str
    spec: Mapping[str, Any]
    step: int  # the job's last recorded step
    slices: int  # claims of this job so far, this one included


@dataclass(frozen=True)
class Look:
    """What a worker sees of its job between two compiled calls."""

    state: State
    newcomer_waits: bool  # a job that never ran waits and would be taken before this one


@dataclass(frozen=True)
class Metric:
    """What the trainer reported at a step: loss, validation_loss, metrics."""

    step: int
    epoch: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a job is. seconds: of training since the last Progress that was written."""

    step: int
    epoch: int
    values: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class NewSnapshot:
    """A snapshot whose blob is already written."""

    step: int
    epoch: int
    best: bool
    last: bool
    digest: str
    bytes: int
    values: Mapping[str, Any]
    blob_id: str


@dataclass(frozen=True)
class Ending:
    """How a worker finishes a job. reason: (code, message), for failed."""

    outcome: Outcome
    snapshots: Sequence[NewSnapshot] = field(default=())
    reason: tuple[str, str] | None = None


def claim(store: Store, worker_id: str, fingerprint: str, lease_seconds: float) -> Claim | None:
    """Take the next job, or None if there is none for this worker.

    Jobs of another environment fingerprint are left to their workers while one of those is alive: bits would change. Those of a
    tenant that has used up a quota are left in the queue.
    Raises StoreBusy when nothing was claimed, or it cannot be known: then the lease of what was claimed expires.
    """
    claim_id = uuid4().hex
    try:
        while True:
            with suppress(QuotaReached):  # then the next look passes over that tenant
                return _claim(store, claim_id, worker_id, fingerprint, lease_seconds)
    except StoreBusy:
        with store.read() as session:  # the answer to the commit may have been lost: then the claim is found by its id
            job = session.scalar(sa.select(Job).where(Job.claim_id == claim_id, Job.state.in_(OWNED)))
            if job is None:
                raise
            return _as_claim(session, job)


def look(store: Store, claim: Claim, newcomer_seconds: float) -> Look:
    """The state of a claimed job, and whether a newcomer waits. Raises LostClaim."""
    with store.read() as session:
        now = store.now(session)
        with_tenant = sa.select(Job.state, Job.priority, queue_order.faded(now).label("used")).join(Tenant, Tenant.id == Job.tenant_id)
        mine = session.execute(with_tenant.where(_owned(claim))).one_or_none()
        if mine is None:
            raise LostClaim(claim.job_id)
        newcomer = with_tenant.where(
            Job.state == State.QUEUED,
            Job.slices == 0,
            Job.runnable_since < now - newcomer_seconds,
            queue_order.goes_before(now, mine.priority, mine.used),
            quotas.held_by(now, but_for=claim.job_id).is_(None),
        )
        return Look(State(mine.state), session.execute(newcomer.limit(1)).first() is not None)


def renew(store: Store, claim: Claim, lease_seconds: float) -> State:
    """Lengthen the lease; answer the job's state. Raises LostClaim."""
    with store.write() as session:
        now = store.now(session)
        change = sa.update(Job).where(_owned(claim)).values(lease_until=now + lease_seconds, heartbeat_at=now)
        state = session.scalar(change.returning(Job.state))
        if state is None:
            raise LostClaim(claim.job_id)
        return State(state)


def record(store: Store, claim: Claim, progress: Progress, metrics: Sequence[Metric] = ()) -> None:
    """Write how far the job is, and what it reported. Raises LostClaim."""
    with store.write() as session:
        now = store.now(session)
        if session.scalar(sa.update(Job).where(_owned(claim)).values(_moved(progress, now)).returning(Job.id)) is None:
            raise LostClaim(claim.job_id)
        _write_metrics(store, session, claim.job_id, metrics, now)
        _charge(session, claim.tenant_id, progress.seconds, now)


def note(store: Store, claim: Claim, type: str, data: Mapping[str, Any]) -> None:
    """Add an event to a claimed job. Raises LostClaim."""
    with store.write() as session:
        seq = session.scalar(sa.update(Job).where(_owned(claim)).values(event_seq=Job.event_seq + 1).returning(Job.event_seq))
        if seq is None:
            raise LostClaim(claim.job_id)
        events.add(session, claim.job_id, seq, store.now(session), type, dict(data))


def rewind(store: Store, claim: Claim, step: int, epoch: int) -> None:
    """Set the job back to the checkpoint it was restored from: what lies beyond it is deleted. Raises LostClaim."""
    with store.write() as session:
        change = sa.update(Job).where(_owned(claim)).values(step=step, epoch=epoch)
        if session.scalar(change.returning(Job.id)) is None:
            raise LostClaim(claim.job_id)
        session.execute(sa.delete(JobMetric).where(JobMetric.job_id == claim.job_id, JobMetric.step > step))
        session.execute(sa.delete(Checkpoint).where(Checkpoint.job_id == claim.job_id, Checkpoint.step > step))


def release(store: Store, claim: Claim, progress: Progress, metrics: Sequence[Metric] = ()) -> State:
    """Give the job back at the end of a slice, its checkpoint being written; answer its new state. Raises LostClaim."""
    return _leave(store, claim, RELEASED, progress, metrics, (), None)


def finish(store: Store, claim: Claim, ending: Ending, progress: Progress | None = None, metrics: Sequence[Metric] = ()) -> State:
    """End the job; answer its end state. Snapshots, metrics, state and event are committed together.

    progress: None leaves the job's step and seconds as they were last recorded. Raises LostClaim.
    """
    return _leave(store, claim, FINISHED[ending.outcome], progress, metrics, ending.snapshots, ending.reason)


class QuotaReached(Exception):
    """Another worker has just claimed the last job that the tenant may have running."""


def _claim(store: Store, claim_id: str, worker_id: str, fingerprint: str, lease_seconds: float) -> Claim | None:
    with store.write() as session:
        now = store.now(session)
        others = sa.exists().where(Worker.fingerprint == Job.fingerprint, Worker.heartbeat_at > now - ALIVE_SECONDS)
        ours = sa.or_(Job.fingerprint.is_(None), Job.fingerprint == fingerprint, ~others)
        free = quotas.held_by(now).is_(None)
        queued = sa.select(Job.id, Job.fingerprint, Job.tenant_id).join(Tenant, Tenant.id == Job.tenant_id)
        queued = queued.where(Job.state == State.QUEUED, ours, free)
        first = queued.order_by(*queue_order.keys(now)).limit(1)
        found = session.execute(first if store.is_sqlite else first.with_for_update(of=Job, skip_locked=True)).one_or_none()
        if found is None:
            return None
        if not store.is_sqlite and not quotas.may_run_one_more(session, found.tenant_id):
            raise QuotaReached
        change = {
            "state": State.RUNNING,
            "fence": Job.fence + 1,
            "claim_id": claim_id,
            "worker_id": worker_id,
            "lease_until": now + lease_seconds,
            "heartbeat_at": now,
            "started_at": sa.func.coalesce(Job.started_at, now),
            "fingerprint": fingerprint,
            "slices": Job.slices + 1,
            "event_seq": Job.event_seq + 1,
        }
        taken = sa.update(Job).where(Job.id == found.id, Job.state == State.QUEUED).values(change)
        job = session.scalars(taken.returning(Job), execution_options={"populate_existing": True}).one()
        data: dict[str, Any] = {"state": State.RUNNING, "worker": worker_id, "slice": job.slices}
        if found.fingerprint not in (None, fingerprint):
            data["environment_changed"] = {"from": found.fingerprint, "to": fingerprint}
        events.add(session, job.id, job.event_seq, now, "state", data)
        return _as_claim(session, job)


def _as_claim(session: Session, job: Job) -> Claim:
    spec = session.scalar(sa.select(JobSpec.spec).where(JobSpec.job_id == job.id))
    return Claim(job.id, job.fence, job.tenant_id, job.dataset_id, spec or {}, job.step, job.slices)


def _leave(
    store: Store,
    claim: Claim,
    changes: Mapping[State, State],
    progress: Progress | None,
    metrics: Sequence[Metric],
    snapshots: Sequence[NewSnapshot],
    reason: tuple[str, str] | None,
) -> State:
    """Change the state of an owned job as `changes` says, drop the lease, and write what belongs to it."""
    with store.write() as session:
        now = store.now(session)
        new = sa.case(*((Job.state == old, sa.literal(str(to))) for old, to in changes.items()))
        values = (_moved(progress, now) if progress else {}) | {
            "state": new,
            "lease_until": None,
            "worker_id": None,
            "runnable_since": now,
            "event_seq": Job.event_seq + 1,
        }
        change = sa.update(Job).where(_owned(claim), Job.state.in_(changes)).values(values).returning(Job.state, Job.event_seq, Job.step)
        left = session.execute(change).one_or_none()
        if left is None:
            raise LostClaim(claim.job_id)
        state = State(left.state)
        data: dict[str, Any] = {"state": state, "step": left.step}
        ending: dict[str, Any] = {"finished_at": now}
        if reason is not None and state is State.FAILED:
            ending |= {"reason_code": reason[0], "reason_message": reason[1]}
            data["reason"] = {"code": reason[0], "message": reason[1]}
        if state in TERMINAL:
            session.execute(sa.update(Job).where(Job.id == claim.job_id).values(ending))
        events.add(session, claim.job_id, left.event_seq, now, "state", data)
        if state is not State.CANCELLED:
            for snapshot in snapshots:
                session.add(Snapshot(job_id=claim.job_id, created_at=now, **{**vars(snapshot), "values": dict(snapshot.values)}))
        _write_metrics(store, session, claim.job_id, metrics, now)
        if progress:
            _charge(session, claim.tenant_id, progress.seconds, now)
        return state


def _owned(claim: Claim) -> sa.ColumnElement[bool]:
    return sa.and_(Job.id == claim.job_id, Job.fence == claim.fence, Job.state.in_(OWNED))


def _moved(progress: Progress, now: float) -> dict[str, Any]:
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "progress": dict(progress.values),
        "trained_seconds": Job.trained_seconds + progress.seconds,
        "heartbeat_at": now,
    }


def _write_metrics(store: Store, session: Session, job_id: str, metrics: Sequence[Metric], now: float) -> None:
    if metrics:
        rows = [{"job_id": job_id, "step": m.step, "epoch": m.epoch, "at": now, "values": dict(m.values)} for m in metrics]
        session.execute(store.insert(JobMetric).on_conflict_do_nothing(), rows)


def _charge(session: Session, tenant_id: str, seconds: float, now: float) -> None:
    """Add to the tenant's recent seconds, which fade, and to those of the day, which are limited."""
    recent = {"used_seconds": queue_order.faded(now) + seconds, "used_at": now}
    session.execute(sa.update(Tenant).where(Tenant.id == tenant_id).values(recent | quotas.charge(seconds, now)))
