"""Quotas: how much a tenant may have of what costs something. A limit of None is none.

Each is held in the transaction that would exceed it. Two of them refuse nothing that was accepted before: jobs beyond `running_jobs`,
and those of a tenant whose `worker_seconds_per_day` are used up, stay in the queue, and a claim passes them over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from service.store.database import Store
from service.store.errors import NotFound, QuotaExceeded
from service.store.models import Checkpoint, Dataset, Job, JobFile, ModelVersion, Snapshot, Tenant, Upload
from service.store.states import OWNED, State

DAY_SECONDS = 86400
Day = int | sa.ColumnElement[int]  # `day()`, or the parameter of a statement that stands for it
QUEUE_SECONDS = 5.0  # when to ask again whether a place in the queue is free: nobody knows when a worker takes a job
ASK = "ask the operator of this service for more"

_TENANT = sa.select(*Tenant.__table__.c).where(Tenant.id == sa.bindparam("of_tenant"))


class Quota(StrEnum):
    """What is limited. The column of `tenant` that holds the limit is called max_..."""

    QUEUED_JOBS = "queued_jobs"  # that wait: queued or paused
    RUNNING_JOBS = "running_jobs"  # that workers train at once
    STORED_BYTES = "stored_bytes"  # of datasets, uploads in parts, snapshots, checkpoints, files of jobs and models
    PARAMETERS = "parameters"  # weights and biases of one network
    WORKER_SECONDS_PER_DAY = "worker_seconds_per_day"  # of training, on a day in UTC
    REQUESTS_PER_MINUTE = "requests_per_minute"  # of all its keys together; see `rate_buckets`


@dataclass(frozen=True)
class Use:
    """How much of a quota is used. resets_at: when it is all free again, where time does that."""

    limit: int | None
    used: float
    resets_at: float | None = None


def limits_of(tenant: Tenant) -> dict[Quota, int | None]:
    """Every limit of the tenant."""
    return {quota: getattr(tenant, f"max_{quota}") for quota in Quota}


def check_new_jobs(session: Session, tenant_id: str, parameters: int, now: float, *, jobs: int = 1) -> None:
    """Raise QuotaExceeded if the tenant may not queue so many jobs more, of a network with so many parameters."""
    tenant = _limits(session, tenant_id)
    if tenant.max_parameters is not None and parameters > tenant.max_parameters:
        raise QuotaExceeded(
            Quota.PARAMETERS,
            f"The network has {parameters:,} parameters; tenant {tenant_id} may train networks of up to {tenant.max_parameters:,}.",
            f"Take fewer or smaller layers, or {ASK}.",
            limit=tenant.max_parameters,
            used=parameters,
        )
    limit = tenant.max_worker_seconds_per_day
    if limit is not None and (used := day_seconds(tenant, now)) >= limit:
        raise QuotaExceeded(
            Quota.WORKER_SECONDS_PER_DAY,
            f"Workers have trained {used:,.0f} s today for tenant {tenant_id}, which may have {limit:,} s a day.",
            f"Send it again tomorrow (a day begins at 00:00 UTC), or {ASK}.",
            limit=limit,
            used=used,
            resets_at=day_ends_at(now),
            retry_after_seconds=day_ends_at(now) - now,
        )
    if tenant.max_queued_jobs is not None:
        _lock(session, tenant_id)
        waiting = queued_jobs(session, tenant_id)
        if waiting + jobs > tenant.max_queued_jobs:
            beside = "" if jobs == 1 else f"; this would add {jobs:,}"
            when = "a worker has taken one, cancel one" if jobs == 1 else "workers have taken some, cancel some"
            raise QuotaExceeded(
                Quota.QUEUED_JOBS,
                f"{waiting:,} jobs of tenant {tenant_id} are queued or paused, and no more than {tenant.max_queued_jobs:,} may be{beside}.",
                f"Wait until {when}, or {ASK}.",
                limit=tenant.max_queued_jobs,
                used=waiting,
                retry_after_seconds=QUEUE_SECONDS,
            )


def check_room(session: Session, tenant_id: str, new_bytes: int) -> None:
    """Raise QuotaExceeded if the tenant may not store so many bytes more."""
    limit = _limits(session, tenant_id).max_stored_bytes
    if limit is None:
        return
    _lock(session, tenant_id)
    stored = stored_bytes(session, tenant_id)
    if stored + new_bytes > limit:
        raise _no_room(tenant_id, limit, stored, f"this would add {new_bytes:,}")


def room_is_left(store: Store, tenant_id: str, new_bytes: int | None = None) -> None:
    """Raise QuotaExceeded if so many bytes more are too many as things are now; None: of a job, an amount that is not known yet.

    To be asked before bytes are written or a job is queued: counting takes a while where there are many jobs (0.2 s for 100,000), for
    which no other should have to wait. What has a size then (all but what a job will leave) is counted again when its row is written.
    """
    with store.read_rows() as session:
        limit = _limits(session, tenant_id).max_stored_bytes
        if limit is not None and (stored := stored_bytes(session, tenant_id)) + (new_bytes or 1) > limit:
            raise _no_room(
                tenant_id, limit, stored, "a job would leave more behind" if new_bytes is None else f"this would add {new_bytes:,}"
            )


def held_by(today: Day, *, but_for: str | sa.ColumnElement[str] | None = None) -> sa.ColumnElement[str | None]:
    """The quota that keeps a queued job (joined with its tenant) from being claimed, or NULL.

    but_for: a job that is not counted among the running ones, because it is about to be released.
    """
    owned, limited = aliased(Job), aliased(Tenant)
    full = sa.select(owned.tenant_id).join(limited, limited.id == owned.tenant_id)
    full = full.where(owned.state.in_(OWNED), limited.max_running_jobs.is_not(None))
    if but_for is not None:
        full = full.where(owned.id != but_for)
    full = full.group_by(owned.tenant_id, limited.max_running_jobs).having(sa.func.count() >= limited.max_running_jobs)
    may_not_run = sa.or_(Tenant.max_running_jobs == 0, Tenant.id.in_(full))  # asked once, not for every job
    return sa.case(
        (sa.and_(Tenant.max_running_jobs.is_not(None), may_not_run), str(Quota.RUNNING_JOBS)),
        (
            sa.and_(
                Tenant.max_worker_seconds_per_day.is_not(None),
                _seconds_of(today) >= Tenant.max_worker_seconds_per_day,
            ),
            str(Quota.WORKER_SECONDS_PER_DAY),
        ),
        else_=None,
    )


def may_run_one_more(session: sa.Connection, tenant_id: str) -> bool:
    """Whether a job of the tenant may be claimed in this transaction: no other can claim one until it ends. Asked on Postgres only."""
    limit = session.scalar(sa.select(Tenant.max_running_jobs).where(Tenant.id == tenant_id))
    if limit is None:
        return True
    _lock(session, tenant_id)
    return running_jobs(session, tenant_id) < limit


def charge(seconds: float | sa.ColumnElement[float], today: Day) -> dict[str, Any]:
    """What a tenant's row becomes when workers have trained `seconds` for it."""
    return {"day_seconds": _seconds_of(today) + seconds, "day": sa.case((Tenant.day >= today, Tenant.day), else_=today)}


def use(store: Store, tenant_id: str) -> dict[Quota, Use]:
    """How much the tenant has of everything that is counted. Raises NotFound."""
    with store.read() as session:
        tenant = session.get(Tenant, tenant_id)
        if tenant is None:
            raise NotFound("tenant", tenant_id)
        now = store.now(session)
        return {
            Quota.QUEUED_JOBS: Use(tenant.max_queued_jobs, queued_jobs(session, tenant_id)),
            Quota.RUNNING_JOBS: Use(tenant.max_running_jobs, running_jobs(session, tenant_id)),
            Quota.STORED_BYTES: Use(tenant.max_stored_bytes, stored_bytes(session, tenant_id)),
            Quota.WORKER_SECONDS_PER_DAY: Use(tenant.max_worker_seconds_per_day, day_seconds(tenant, now), day_ends_at(now)),
        }


def queued_jobs(session: Session, tenant_id: str) -> int:
    """How many jobs of the tenant wait, queued or paused."""
    waiting = Job.state.in_((State.QUEUED, State.PAUSED))
    return session.scalar(sa.select(sa.func.count()).select_from(Job).where(Job.tenant_id == tenant_id, waiting)) or 0


def running_jobs(session: Session | sa.Connection, tenant_id: str) -> int:
    """How many jobs of the tenant a worker has."""
    return session.scalar(sa.select(sa.func.count()).select_from(Job).where(Job.tenant_id == tenant_id, Job.state.in_(OWNED))) or 0


def stored_bytes(session: Session | sa.Connection, tenant_id: str) -> int:
    """How many bytes of datasets, snapshots, checkpoints, files of jobs and models the tenant stores; a snapshot counts once.

    An upload in parts counts as a whole from its beginning until it has become a dataset.
    """
    found = session.scalar(sa.select(sa.func.sum(Dataset.bytes)).where(Dataset.tenant_id == tenant_id)) or 0
    arriving = sa.select(sa.func.sum(Upload.bytes)).where(Upload.tenant_id == tenant_id, Upload.dataset_id.is_(None))
    found += session.scalar(arriving) or 0
    for kept in (Snapshot, Checkpoint, JobFile):
        of_jobs = sa.select(sa.func.sum(kept.bytes)).join(Job, Job.id == kept.job_id).where(Job.tenant_id == tenant_id)
        found += session.scalar(of_jobs) or 0
    of_its_own = ~sa.exists().where(Snapshot.blob_id == ModelVersion.blob_id)
    found += session.scalar(sa.select(sa.func.sum(ModelVersion.bytes)).where(ModelVersion.tenant_id == tenant_id, of_its_own)) or 0
    return int(found)


def day_seconds(tenant: Tenant, now: float) -> float:
    """What workers have trained for the tenant today."""
    return tenant.day_seconds if tenant.day >= day(now) else 0.0


def day(now: float) -> int:
    """The number of the day, since 1970 in UTC."""
    return int(now // DAY_SECONDS)


def day_ends_at(now: float) -> float:
    """When the day of `now` ends."""
    return float((day(now) + 1) * DAY_SECONDS)


def change(tenant: Tenant, limits: Mapping[Quota, int | None]) -> None:
    """Give the tenant these limits; those that are not named stay."""
    for quota, limit in limits.items():
        setattr(tenant, f"max_{quota}", limit)


def _seconds_of(today: Day) -> sa.ColumnElement[float]:
    """What workers have trained for a tenant today, in a statement."""
    return sa.case((Tenant.day >= today, Tenant.day_seconds), else_=0.0)


def _limits(session: Session | sa.Connection, tenant_id: str) -> Tenant:
    """The tenant's row, as a plain one: it is asked for with every job."""
    connection = session.connection() if isinstance(session, Session) else session  # a session takes twice as long for it
    tenant = connection.execute(_TENANT, {"of_tenant": tenant_id}).one_or_none()
    if tenant is None:
        raise NotFound("tenant", tenant_id)
    return cast(Tenant, tenant)


def _lock(session: Session | sa.Connection, tenant_id: str) -> None:
    """Let no other transaction count this tenant's things until this one ends. SQLite has one writer at a time anyway."""
    session.execute(sa.select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))


def _no_room(tenant_id: str, limit: int, stored: int, why: str) -> QuotaExceeded:
    return QuotaExceeded(
        Quota.STORED_BYTES,
        f"Tenant {tenant_id} stores {stored:,} bytes of the {limit:,} it may store; {why}.",
        f"Purge datasets and delete jobs that are no longer needed, send less, or {ASK}.",
        limit=limit,
        used=stored,
    )
