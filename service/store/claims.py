"""The right to work on a job: claim it, look whether it is still yours, record, release, finish.

Every write of a worker carries the fence of its claim and is refused (LostClaim) once another claim or a reap has raised
it, or the job has no owner any more. So a worker that froze and wakes too late writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from service.store import blobs, events, queue_order, quotas
from service.store.database import Store
from service.store.errors import LostClaim, StoreBusy
from service.store.metrics import Metric, add_metrics
from service.store.models import Checkpoint, Job, JobAssessment, JobFile, JobMetric, JobSpec, Snapshot, Tenant, Worker
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
    parent: Mapping[str, Any] | None = None  # the job it goes on from
    kind: str = "train"


@dataclass(frozen=True)
class Look:
    """What a worker sees of its job between two compiled calls."""

    state: State
    newcomer_waits: bool  # a job that never ran waits and would be taken before this one
    overdue: bool = False  # its deadline is over


@dataclass(frozen=True)
class Progress:
    """How far a job is. seconds: of training since the last Progress that was written."""

    step: int
    epoch: int
    values: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class NewSnapshot:
    """A snapshot whose blob is already written, or is among the small ones of the ending."""

    step: int
    epoch: int
    best: bool
    last: bool
    digest: str
    bytes: int
    values: Mapping[str, Any]
    blob_id: str


@dataclass(frozen=True)
class NewFile:
    """A file whose blob is already written, or is among the small ones of the ending."""

    name: str
    digest: str
    bytes: int
    blob_id: str


@dataclass(frozen=True)
class Ending:
    """How a worker finishes a job.

    reason: (code, message), for failed. assessment: of the best snapshot, as the API shows it. small_blobs: the bytes of what it leaves, as
    far as they are few, by their ids.
    """

    outcome: Outcome
    snapshots: Sequence[NewSnapshot] = field(default=())
    reason: tuple[str, str] | None = None
    files: Sequence[NewFile] = field(default=())
    assessment: Mapping[str, Any] | None = None
    small_blobs: Mapping[str, bytes] = field(default_factory=dict)


# The statements are built once: a small job is claimed, recorded and finished in milliseconds, and building them took most of those.

_NOW = sa.bindparam("now", type_=sa.Float)
_TODAY = sa.bindparam("today", type_=sa.Integer)
_MINE = (Job.id == sa.bindparam("of_job"), Job.fence == sa.bindparam("of_fence"), Job.state.in_(OWNED))

_OTHERS_ALIVE = sa.exists().where(Worker.fingerprint == Job.fingerprint, Worker.heartbeat_at > _NOW - ALIVE_SECONDS)
_FIRST = (
    sa.select(Job.id, Job.fingerprint, Job.tenant_id)
    .join(Tenant, Tenant.id == Job.tenant_id)
    .where(
        Job.state == State.QUEUED,
        sa.or_(Job.deadline_at.is_(None), Job.deadline_at > _NOW),
        sa.or_(Job.fingerprint.is_(None), Job.fingerprint == sa.bindparam("our_fingerprint"), ~_OTHERS_ALIVE),
        quotas.held_by(_TODAY).is_(None),
    )
    .order_by(*queue_order.keys(_NOW))
    .limit(1)
)
_FIRST_LOCKED = _FIRST.with_for_update(of=Job, skip_locked=True)
_TAKE = (
    sa.update(Job)
    .where(Job.id == sa.bindparam("of_job"), Job.state == State.QUEUED)
    .values(
        state=State.RUNNING,
        fence=Job.fence + 1,
        claim_id=sa.bindparam("new_claim"),
        worker_id=sa.bindparam("new_worker"),
        lease_until=sa.bindparam("new_lease"),
        heartbeat_at=_NOW,
        started_at=sa.func.coalesce(Job.started_at, _NOW),
        fingerprint=sa.bindparam("our_fingerprint"),
        slices=Job.slices + 1,
        event_seq=Job.event_seq + 1,
    )
    .returning(*Job.__table__.c)
)
_CLAIMED = sa.select(*Job.__table__.c).where(Job.claim_id == sa.bindparam("new_claim"), Job.state.in_(OWNED))
_SPEC = sa.select(JobSpec.spec).where(JobSpec.job_id == sa.bindparam("of_job"))

_STANDING = sa.select(Job.state, Job.priority, queue_order.faded(_NOW).label("used")).join(Tenant, Tenant.id == Job.tenant_id)
_MY_STANDING = _STANDING.add_columns(Job.deadline_at).where(*_MINE)
_NEWCOMER = _STANDING.where(
    Job.state == State.QUEUED,
    Job.slices == 0,
    Job.runnable_since < _NOW - sa.bindparam("newcomer_seconds", type_=sa.Float),
    queue_order.goes_before(_NOW, sa.bindparam("priority", type_=sa.Integer), sa.bindparam("used", type_=sa.Float)),
    quotas.held_by(_TODAY, but_for=sa.bindparam("of_job")).is_(None),
).limit(1)

_MORE_SECONDS = sa.bindparam("more_seconds", type_=sa.Float)
_RENEW = sa.update(Job).where(*_MINE).values(lease_until=sa.bindparam("new_lease"), heartbeat_at=_NOW).returning(Job.state)
_MOVED = {
    "step": sa.bindparam("new_step"),
    "epoch": sa.bindparam("new_epoch"),
    "progress": sa.bindparam("new_progress"),
    "trained_seconds": Job.trained_seconds + _MORE_SECONDS,
    "heartbeat_at": _NOW,
}
_RECORD = sa.update(Job).where(*_MINE).values(_MOVED).returning(Job.id)
_SETTLE = sa.update(JobSpec).where(JobSpec.job_id == sa.bindparam("of_job")).values(spec=sa.bindparam("new_spec"))
_NOTE = sa.update(Job).where(*_MINE).values(event_seq=Job.event_seq + 1).returning(Job.event_seq)
_REWIND = sa.update(Job).where(*_MINE).values(step=sa.bindparam("new_step"), epoch=sa.bindparam("new_epoch")).returning(Job.id)
_END = sa.update(Job).where(Job.id == sa.bindparam("of_job")).values(finished_at=_NOW)
_END_FOR_A_REASON = _END.values(reason_code=sa.bindparam("new_code"), reason_message=sa.bindparam("new_message"))
_CHARGE = (
    sa.update(Tenant)
    .where(Tenant.id == sa.bindparam("of_tenant"))
    .values(
        used_seconds=queue_order.faded(_NOW) + _MORE_SECONDS,
        used_at=_NOW,
        **quotas.charge(_MORE_SECONDS, _TODAY),
    )
)
_ADD_SNAPSHOT, _ADD_FILE, _ADD_ASSESSMENT = sa.insert(Snapshot), sa.insert(JobFile), sa.insert(JobAssessment)


@cache
def _leaving(changes: tuple[tuple[State, State], ...], moved: bool) -> sa.UpdateBase:
    """The statement that changes an owned job's state as `changes` says and drops its lease; moved: and writes its progress."""
    values = (_MOVED if moved else {}) | {
        "state": sa.case(*((Job.state == old, sa.literal(str(new))) for old, new in changes)),
        "lease_until": None,
        "worker_id": None,
        "runnable_since": _NOW,
        "event_seq": Job.event_seq + 1,
    }
    change = sa.update(Job).where(*_MINE, Job.state.in_([old for old, _ in changes])).values(values)
    return change.returning(Job.state, Job.event_seq, Job.step)


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
        with store.read_rows() as connection:  # the answer to the commit may have been lost: then the claim is found by its id
            job = connection.execute(_CLAIMED, {"new_claim": claim_id}).one_or_none()
            if job is None:
                raise
            return _as_claim(connection, job)


def look(store: Store, claim: Claim, newcomer_seconds: float) -> Look:
    """The state of a claimed job, whether a newcomer waits, and whether its deadline is over. Raises LostClaim."""
    with store.read_rows() as connection:
        now = store.now(connection)
        mine = connection.execute(_MY_STANDING, {"now": now, **_of(claim)}).one_or_none()
        if mine is None:
            raise LostClaim(claim.job_id)
        standing = {"priority": mine.priority, "used": mine.used}
        wanted = {**_at(now), "of_job": claim.job_id, "newcomer_seconds": newcomer_seconds, **standing}
        overdue = mine.deadline_at is not None and mine.deadline_at <= now
        return Look(State(mine.state), connection.execute(_NEWCOMER, wanted).first() is not None, overdue)


def renew(store: Store, claim: Claim, lease_seconds: float) -> State:
    """Lengthen the lease; answer the job's state. Raises LostClaim."""
    with store.write_rows() as connection:
        now = store.now(connection)
        state = connection.scalar(_RENEW, {"now": now, "new_lease": now + lease_seconds, **_of(claim)})
        if state is None:
            raise LostClaim(claim.job_id)
        return State(state)


def record(store: Store, claim: Claim, progress: Progress, metrics: Sequence[Metric] = ()) -> None:
    """Write how far the job is, and what it reported. Raises LostClaim."""
    with store.write_rows() as connection:
        now = store.now(connection)
        if connection.scalar(_RECORD, {"now": now, **_of(claim), **_moved(progress)}) is None:
            raise LostClaim(claim.job_id)
        add_metrics(store, connection, claim.job_id, metrics, now)
        _charge(connection, claim.tenant_id, progress.seconds, now)


def note(store: Store, claim: Claim, type: str, data: Mapping[str, Any]) -> None:
    """Add an event to a claimed job. Raises LostClaim."""
    with store.write_rows() as connection:
        seq = connection.scalar(_NOTE, _of(claim))
        if seq is None:
            raise LostClaim(claim.job_id)
        events.add(connection, claim.job_id, seq, store.now(connection), type, dict(data))


def settle(store: Store, claim: Claim, spec: Mapping[str, Any], data: Mapping[str, Any], seconds: float) -> None:
    """Write the spec of a claimed job anew, what was still to be found being found, and an event with `data`. Raises LostClaim.

    seconds: that it took, which the tenant is charged.
    """
    with store.write_rows() as connection:
        seq = connection.scalar(_NOTE, _of(claim))
        if seq is None:
            raise LostClaim(claim.job_id)
        now = store.now(connection)
        connection.execute(_SETTLE, {"of_job": claim.job_id, "new_spec": dict(spec)})
        events.add(connection, claim.job_id, seq, now, "settled", dict(data))
        _charge(connection, claim.tenant_id, seconds, now)


def rewind(store: Store, claim: Claim, step: int, epoch: int) -> None:
    """Set the job back to the checkpoint it was restored from: what lies beyond it is deleted. Raises LostClaim."""
    with store.write_rows() as connection:
        if connection.scalar(_REWIND, {"new_step": step, "new_epoch": epoch, **_of(claim)}) is None:
            raise LostClaim(claim.job_id)
        connection.execute(sa.delete(JobMetric).where(JobMetric.job_id == claim.job_id, JobMetric.step > step))
        connection.execute(sa.delete(Checkpoint).where(Checkpoint.job_id == claim.job_id, Checkpoint.step > step))


def release(store: Store, claim: Claim, progress: Progress, metrics: Sequence[Metric] = ()) -> State:
    """Give the job back at the end of a slice, its checkpoint being written; answer its new state. Raises LostClaim."""
    return _leave(store, claim, RELEASED, progress, metrics)


def finish(store: Store, claim: Claim, ending: Ending, progress: Progress | None = None, metrics: Sequence[Metric] = ()) -> State:
    """End the job; answer its end state. Snapshots, metrics, state and event are committed together.

    progress: None leaves the job's step and seconds as they were last recorded. Raises LostClaim.
    """
    return _leave(store, claim, FINISHED[ending.outcome], progress, metrics, ending)


class QuotaReached(Exception):
    """Another worker has just claimed the last job that the tenant may have running."""


def _claim(store: Store, claim_id: str, worker_id: str, fingerprint: str, lease_seconds: float) -> Claim | None:
    with store.write_rows() as connection:
        now = store.now(connection)
        us = {**_at(now), "our_fingerprint": fingerprint}
        found = connection.execute(_FIRST if store.is_sqlite else _FIRST_LOCKED, us).one_or_none()
        if found is None:
            return None
        if not store.is_sqlite and not quotas.may_run_one_more(connection, found.tenant_id):
            raise QuotaReached
        lease = {"new_claim": claim_id, "new_worker": worker_id, "new_lease": now + lease_seconds}
        job = connection.execute(_TAKE, {"of_job": found.id, **us, **lease}).one()
        data: dict[str, Any] = {"state": State.RUNNING, "worker": worker_id, "slice": job.slices}
        if found.fingerprint not in (None, fingerprint):
            data["environment_changed"] = {"from": found.fingerprint, "to": fingerprint}
        events.add(connection, job.id, job.event_seq, now, "state", data)
        return _as_claim(connection, job)


def _as_claim(connection: sa.Connection, job: sa.Row[Any]) -> Claim:
    spec = connection.scalar(_SPEC, {"of_job": job.id})
    return Claim(job.id, job.fence, job.tenant_id, job.dataset_id, spec or {}, job.step, job.slices, job.parent, job.kind)


def _leave(
    store: Store,
    claim: Claim,
    changes: Mapping[State, State],
    progress: Progress | None,
    metrics: Sequence[Metric],
    ending: Ending | None = None,
) -> State:
    """Change the state of an owned job as `changes` says, drop the lease, and write what belongs to it."""
    with store.write_rows() as connection:
        now = store.now(connection)
        change = _leaving(tuple(changes.items()), progress is not None)
        values = {"now": now, **_of(claim)} | (_moved(progress) if progress else {})
        left = connection.execute(change, values).one_or_none()
        if left is None:
            raise LostClaim(claim.job_id)
        state = State(left.state)
        data: dict[str, Any] = {"state": state, "step": left.step}
        if state in TERMINAL:
            of_job, reason = {"of_job": claim.job_id, "now": now}, ending.reason if ending else None
            if reason is not None and state is State.FAILED:
                connection.execute(_END_FOR_A_REASON, of_job | {"new_code": reason[0], "new_message": reason[1]})
                data["reason"] = {"code": reason[0], "message": reason[1]}
            else:
                connection.execute(_END, of_job)
        if ending and state is not State.CANCELLED:
            its = {"job_id": claim.job_id, "created_at": now}
            blobs.write_small(connection, ending.small_blobs, now)
            if ending.snapshots:
                connection.execute(_ADD_SNAPSHOT, [{**its, **vars(each), "values": dict(each.values)} for each in ending.snapshots])
            if ending.files:
                connection.execute(_ADD_FILE, [{**its, **vars(each)} for each in ending.files])
            if ending.assessment:
                connection.execute(_ADD_ASSESSMENT, {"job_id": claim.job_id, "assessment": dict(ending.assessment)})
        add_metrics(store, connection, claim.job_id, metrics, now)
        events.add(connection, claim.job_id, left.event_seq, now, "state", data)
        if progress:
            _charge(connection, claim.tenant_id, progress.seconds, now)
        return state


def _at(now: float) -> dict[str, Any]:
    """What `_NOW` and `_TODAY` ask for."""
    return {"now": now, "today": quotas.day(now)}


def _of(claim: Claim) -> dict[str, Any]:
    """What `_MINE` asks for."""
    return {"of_job": claim.job_id, "of_fence": claim.fence}


def _moved(progress: Progress) -> dict[str, Any]:
    """What `_MOVED` asks for."""
    return {
        "new_step": progress.step,
        "new_epoch": progress.epoch,
        "new_progress": dict(progress.values),
        "more_seconds": progress.seconds,
    }


def _charge(connection: sa.Connection, tenant_id: str, seconds: float, now: float) -> None:
    """Add to the tenant's recent seconds, which fade, and to those of the day, which are limited."""
    connection.execute(_CHARGE, {"of_tenant": tenant_id, "more_seconds": seconds, **_at(now)})
