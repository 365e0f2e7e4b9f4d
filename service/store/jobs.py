"""Jobs as their users see them: create, read, list, and ask for pause, resume, stop or cancel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, events, idempotency, queue_order, quotas
from service.store.database import Store
from service.store.errors import IllegalAction, InTrash, NotFound
from service.store.idempotency import Created, Once
from service.store.ids import new_id
from service.store.job_filter import JobFilter
from service.store.models import Checkpoint, Dataset, Job, JobAssessment, JobSpec, Snapshot, Tenant
from service.store.states import REACHED, REQUESTED, TERMINAL, Action, State, allowed_actions

# Built once: clients poll with them, and building a statement takes longer than asking it.
_JOB_WITH_SPEC = (
    sa.select(*Job.__table__.c, JobSpec.spec)
    .join_from(Job, JobSpec)
    .where(Job.id == sa.bindparam("job_id"), Job.tenant_id == sa.bindparam("tenant_id"))
)
_ADD_JOB, _ADD_SPEC = sa.insert(Job), sa.insert(JobSpec)
# Locked, so that it is not put into the trash before the job is there. SQLite has one writer at a time anyway.
_USABLE_DATASET = (
    sa.select(Dataset.id)
    .where(Dataset.id == sa.bindparam("dataset_id"), Dataset.trashed_at.is_(None))
    .with_for_update(key_share=True, read=True)
)
# Likewise: a parent is not deleted before the job that names it is there.
_PARENT = (
    sa.select(Job.id)
    .where(Job.id == sa.bindparam("parent_id"), Job.tenant_id == sa.bindparam("tenant_id"))
    .with_for_update(key_share=True, read=True)
)
_SNAPSHOTS = sa.select(*Snapshot.__table__.c).where(Snapshot.job_id == sa.bindparam("job_id")).order_by(Snapshot.step)


_NOW, _TODAY = sa.bindparam("now", type_=sa.Float), sa.bindparam("today", type_=sa.Integer)


_HELD_BY = quotas.held_by(_TODAY)
_PLACE_KEYS = (sa.case((_HELD_BY.is_(None), 0), else_=1), *queue_order.keys(_NOW))  # what is held back comes behind all others
_WAITING = sa.select(Job.id, _HELD_BY.label("held_by")).join(Tenant, Tenant.id == Job.tenant_id).where(Job.state == State.QUEUED)


def _places() -> sa.Select[Any]:
    """Of several jobs: all that wait are sorted once."""
    ahead = sa.func.row_number().over(order_by=_PLACE_KEYS) - 1
    queue = _WAITING.add_columns(ahead.label("jobs_ahead")).subquery()
    return sa.select(queue).where(queue.c.id.in_(sa.bindparam("ids", expanding=True)))


# Of one job, as with every POST: those before it are counted. (In one statement SQLite would work out its keys for every row again.)
_OWN_KEYS = _WAITING.add_columns(*_PLACE_KEYS).where(Job.id == sa.bindparam("job_id"))
_BEFORE = sa.tuple_(*_PLACE_KEYS) < sa.tuple_(*(sa.bindparam(f"key_{number}") for number in range(len(_PLACE_KEYS))))
_COUNT_BEFORE = (
    sa.select(sa.func.count()).select_from(Job).join(Tenant, Tenant.id == Job.tenant_id).where(Job.state == State.QUEUED, _BEFORE)
)


_PLACES = _places()


@dataclass(frozen=True)
class Start:
    """A checkpoint that a new job begins with; its blob is already written."""

    step: int
    epoch: int
    digest: str
    bytes: int
    blob_id: str


@dataclass(frozen=True)
class NewJob:
    """A job whose spec has been resolved.

    parent: what is shown of the job it goes on from. start: what it begins with; None: with its seed. fingerprint: of the environment
    that trained the parent, where the bits are to go on.
    """

    tenant_id: str
    dataset_id: str
    spec: dict[str, Any]
    steps: int
    epochs: int
    kind: str = "train"
    name: str | None = None
    tags: dict[str, Any] | None = None
    priority: int = 0
    parameters: int = 0
    parent: dict[str, Any] | None = None
    start: Start | None = None
    fingerprint: str | None = None
    deadline_at: float | None = None
    cross_validation_id: str | None = None


@dataclass(frozen=True)
class JobDetail:
    """A job with what the API shows beside its row. Only columns of `job` and `snapshots` may be read: they may be plain rows."""

    job: Job
    spec: dict[str, Any]
    jobs_ahead: int | None  # None unless it is queued
    snapshots: Sequence[Snapshot]
    held_by: str | None = None  # the quota for which it stays in the queue


class Place(TypedDict):
    """Where a job stands in the queue, as `JobDetail` has it."""

    jobs_ahead: int | None
    held_by: str | None


EVERY_JOB = JobFilter()
NO_PLACE: Place = {"jobs_ahead": None, "held_by": None}


def create(store: Store, new: NewJob, *, answer: Callable[[JobDetail], bytes], once: Once | None = None) -> Created:
    """Queue a job; its row, first event, the idempotency key and the answer are committed together.

    Raises QuotaExceeded, InTrash for its dataset, or NotFound for its parent.
    """

    def insert(session: Session) -> Created:
        now = store.now(session)
        quotas.check_new_jobs(session, new.tenant_id, new.parameters, now)
        if new.start:
            quotas.check_room(session, new.tenant_id, new.start.bytes)
        connection = session.connection()
        check_dataset(connection, new.dataset_id)
        if new.parent and new.parent["job"]:
            parent = {"parent_id": new.parent["job"], "tenant_id": new.tenant_id}
            if connection.execute(_PARENT, parent).first() is None:
                raise NotFound("job", new.parent["job"])  # deleted since it was read
        job = add(connection, new_id("job"), new, now)
        return Created(job.id, answer(JobDetail(job, new.spec, snapshots=(), **_place(connection, [job], now)[job.id])))

    return idempotency.create(store, new.tenant_id, once, insert)


def check_dataset(connection: sa.Connection, dataset_id: str) -> None:
    """Raise InTrash unless the dataset can be trained on; until this transaction ends it stays so."""
    if connection.execute(_USABLE_DATASET, {"dataset_id": dataset_id}).first() is None:
        raise InTrash(dataset_id)  # since it was read


def add(connection: sa.Connection, job_id: str, new: NewJob, now: float) -> Job:
    """Write a queued job with its spec, its first event and its line of the audit log."""
    columns: dict[str, Any] = {
        "id": job_id,
        "tenant_id": new.tenant_id,
        "dataset_id": new.dataset_id,
        "kind": new.kind,
        "name": new.name,
        "tags": new.tags or {},
        "priority": new.priority,
        "state": State.QUEUED,
        "created_at": now,
        "runnable_since": now,
        "fence": 0,
        "slices": 0,
        "losses": 0,
        "event_seq": 1,
        "fingerprint": new.fingerprint,
        "parent": new.parent,
        "revision": 0,
        "deadline_at": new.deadline_at,
        "step": new.start.step if new.start else 0,
        "steps": new.steps,
        "epoch": new.start.epoch if new.start else 0,
        "epochs": new.epochs,
        "trained_seconds": 0.0,
        "progress": {},
        "cross_validation_id": new.cross_validation_id,
    }
    connection.execute(_ADD_JOB, columns)
    connection.execute(_ADD_SPEC, {"job_id": job_id, "spec": new.spec})
    if new.start:
        connection.execute(sa.insert(Checkpoint), {"job_id": job_id, "created_at": now, **vars(new.start)})
    events.add(connection, job_id, 1, now, "state", {"state": State.QUEUED})
    audit.record(connection, now, "job.create", job_id, new.tenant_id, name=new.name, kind=new.kind, dataset=new.dataset_id)
    return Job(**columns)


def get(store: Store, tenant_id: str, job_id: str) -> JobDetail:
    """The job. Raises NotFound, also for another tenant's."""
    with store.read_rows() as connection:
        found = connection.execute(_JOB_WITH_SPEC, {"job_id": job_id, "tenant_id": tenant_id}).one_or_none()
        if found is None:
            raise NotFound("job", job_id)
        job = cast(Job, found)
        snapshots = cast(Sequence[Snapshot], connection.execute(_SNAPSHOTS, {"job_id": job_id}).all())
        place = _place(connection, [job], store.now(connection))[job_id] if job.state == State.QUEUED else NO_PLACE
        return JobDetail(job, found.spec, snapshots=snapshots, **place)


def row(store: Store, tenant_id: str, job_id: str) -> Job:
    """The job's row alone: one read by primary key. Raises NotFound."""
    with store.read() as session:
        return _find(session, tenant_id, job_id)


def assessment(store: Store, tenant_id: str, job_id: str) -> dict[str, Any] | None:
    """What the best parameters of the job are worth; None before it has ended with some. Raises NotFound."""
    with store.read() as session:
        _find(session, tenant_id, job_id)
        return session.scalar(sa.select(JobAssessment.assessment).where(JobAssessment.job_id == job_id))


def page(store: Store, tenant_id: str, *, limit: int, before: str | None = None, chosen: JobFilter = EVERY_JOB) -> Sequence[JobDetail]:
    """The newest of the jobs that are meant, made before the one named `before`, newest first."""
    query = sa.select(Job).where(Job.tenant_id == tenant_id, *chosen.where(store)).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.id < before)
    with store.read() as session:
        jobs = session.scalars(query).all()
        ids = [job.id for job in jobs]
        specs = {spec.job_id: spec.spec for spec in session.scalars(sa.select(JobSpec).where(JobSpec.job_id.in_(ids)))}
        snapshots: dict[str, list[Snapshot]] = {}
        for snapshot in session.scalars(sa.select(Snapshot).where(Snapshot.job_id.in_(ids)).order_by(Snapshot.step)):
            snapshots.setdefault(snapshot.job_id, []).append(snapshot)
        places = _place(session, jobs, store.now(session))
        return [JobDetail(job, specs[job.id], snapshots=snapshots.get(job.id, ()), **places.get(job.id, NO_PLACE)) for job in jobs]


def request(store: Store, tenant_id: str, job_id: str, action: Action) -> bool:
    """Ask for `action`; answer whether it changed anything (False: it was already under way or done).

    A job without an owner changes at once; one with an owner is asked to, and its worker does it within a batch and 5 s.
    Raises NotFound, or IllegalAction where the job's state does not allow it.
    """
    while True:
        with store.write() as session:
            old = State(_find(session, tenant_id, job_id).state)
            if old in REACHED[action]:
                return False
            new = REQUESTED[action].get(old)
            if new is None:
                raise IllegalAction(job_id, action, old, allowed_actions(old))
            now = store.now(session)
            change: dict[str, Any] = {"state": new, "event_seq": Job.event_seq + 1}
            if new is State.QUEUED:
                change["runnable_since"] = now
            if new in TERMINAL:
                change["finished_at"] = now
            seq = session.scalar(sa.update(Job).where(Job.id == job_id, Job.state == old).values(change).returning(Job.event_seq))
            if seq is None:  # a worker was quicker: look again
                continue
            events.add(session, job_id, seq, now, "state", {"state": new, "requested": action})
            audit.record(session, now, f"job.{action}", job_id, tenant_id, state=new)
            return True


def _find(session: Session, tenant_id: str, job_id: str) -> Job:
    job = session.scalar(sa.select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id))
    if job is None:
        raise NotFound("job", job_id)
    return job


def _place(session: Session | sa.Connection, jobs: Sequence[Job], now: float) -> dict[str, Place]:
    """How many queued jobs a worker would take before each of `jobs` that is queued itself, and the quota that holds it back."""
    ids = [job.id for job in jobs if job.state == State.QUEUED]
    if not ids:
        return {}
    at = {"now": now, "today": quotas.day(now)}
    if len(ids) == 1:
        job_id, held_by, *own = session.execute(_OWN_KEYS, at | {"job_id": ids[0]}).one()
        ahead = session.execute(_COUNT_BEFORE, at | {f"key_{number}": key for number, key in enumerate(own)}).scalar_one()
        return {job_id: {"jobs_ahead": ahead, "held_by": held_by}}
    found = session.execute(_PLACES, at | {"ids": ids})
    return {row.id: {"jobs_ahead": row.jobs_ahead, "held_by": row.held_by} for row in found}
