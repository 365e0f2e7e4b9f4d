"""Cross-validations: one training for each of several folds, all asked for at once, and what came out of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, idempotency, jobs, quotas
from service.store.database import Store
from service.store.errors import NotFound
from service.store.idempotency import Created, Once
from service.store.ids import new_id
from service.store.jobs import NewJob
from service.store.models import CrossValidation, Job, JobSpec, Snapshot
from service.store.states import TERMINAL, State

# Built once, as those of a single job: clients wait with them.
_OF_TENANT = sa.select(*CrossValidation.__table__.c).where(
    CrossValidation.id == sa.bindparam("of_id"), CrossValidation.tenant_id == sa.bindparam("of_tenant")
)
# Out of a spec, which may carry given weights, no more is read than is shown.
_JOBS = (
    sa.select(
        Job.id,
        Job.state,
        Job.step,
        Job.steps,
        Job.epoch,
        Job.reason_code,
        Job.reason_message,
        JobSpec.spec["fold"]["number"].as_integer().label("number"),
        JobSpec.spec["sizes"]["validation_rows"].as_integer().label("validation_rows"),
    )
    .join(JobSpec, JobSpec.job_id == Job.id)
    .where(Job.cross_validation_id == sa.bindparam("of_id"))
    .order_by(Job.id)
)
_BEST = (
    sa.select(*Snapshot.__table__.c)
    .join(Job, Job.id == Snapshot.job_id)
    .where(Job.cross_validation_id == sa.bindparam("of_id"), Snapshot.best.is_(True))
)


@dataclass(frozen=True)
class FoldJob:
    """The job of a fold, as far as it is shown with the others. best: its best parameters; None before it has ended with some."""

    id: str
    number: int
    state: State
    step: int
    steps: int
    epoch: int
    validation_rows: int
    reason: tuple[str, str] | None
    best: Snapshot | None


@dataclass(frozen=True)
class CrossValidationDetail:
    """A cross-validation and the jobs of its folds that are there, by their numbers."""

    row: CrossValidation
    jobs: Sequence[FoldJob]


@dataclass(frozen=True)
class Overview:
    """A cross-validation, and how many of its jobs are in which state."""

    row: CrossValidation
    counts: dict[State, int]


def create(store: Store, folds: Sequence[NewJob], *, answer: Callable[[CrossValidationDetail], bytes], once: Once | None = None) -> Created:
    """Queue a job for each fold, all of one tenant, dataset and name; they, the idempotency key and the answer are committed together.

    Raises QuotaExceeded where there is no place for all of them, or InTrash for their dataset.
    """
    first = folds[0]

    def insert(session: Session) -> Created:
        now = store.now(session)
        quotas.check_new_jobs(session, first.tenant_id, max(new.parameters for new in folds), now, jobs=len(folds))
        connection = session.connection()
        jobs.check_dataset(connection, first.dataset_id)
        columns = {"tenant_id": first.tenant_id, "name": first.name, "dataset_id": first.dataset_id, "created_at": now}
        row = CrossValidation(id=new_id("cv"), folds=len(folds), **columns)
        session.add(row)
        session.flush()
        audit.record(
            session, now, "cross_validation.create", row.id, first.tenant_id, name=row.name, folds=row.folds, dataset=row.dataset_id
        )
        # Ids of one moment are in no order; these go by the numbers of the folds.
        for job_id, new in zip(sorted(new_id("job") for _ in folds), folds, strict=True):
            jobs.add(connection, job_id, replace(new, cross_validation_id=row.id), now)
        return Created(row.id, answer(CrossValidationDetail(row, _jobs(connection, row.id))))

    return idempotency.create(store, first.tenant_id, once, insert)


def get(store: Store, tenant_id: str, cross_validation_id: str) -> CrossValidationDetail:
    """The cross-validation and its jobs. Raises NotFound, also for another tenant's."""
    with store.read_rows() as connection:
        found = connection.execute(_OF_TENANT, {"of_id": cross_validation_id, "of_tenant": tenant_id}).one_or_none()
        if found is None:
            raise NotFound("cross-validation", cross_validation_id)
        return CrossValidationDetail(cast(CrossValidation, found), _jobs(connection, cross_validation_id))


def page(store: Store, tenant_id: str, *, limit: int, before: str | None = None) -> Sequence[Overview]:
    """The newest cross-validations, made before the one named `before`, newest first."""
    query = sa.select(CrossValidation).where(CrossValidation.tenant_id == tenant_id).order_by(CrossValidation.id.desc()).limit(limit)
    if before is not None:
        query = query.where(CrossValidation.id < before)
    with store.read() as session:
        rows = session.scalars(query).all()
        counted = sa.select(Job.cross_validation_id, Job.state, sa.func.count()).group_by(Job.cross_validation_id, Job.state)
        counts: dict[str, dict[State, int]] = {row.id: {} for row in rows}
        for of, state, count in session.execute(counted.where(Job.cross_validation_id.in_(list(counts)))):
            counts[str(of)][State(state)] = count
        return [Overview(row, counts[row.id]) for row in rows]


def _jobs(connection: sa.Connection, cross_validation_id: str) -> Sequence[FoldJob]:
    of_it: dict[str, Any] = {"of_id": cross_validation_id}
    rows = connection.execute(_JOBS, of_it).all()
    ended = any(row.state in TERMINAL for row in rows)
    best = {snapshot.job_id: cast(Snapshot, snapshot) for snapshot in connection.execute(_BEST, of_it)} if ended else {}
    return [
        FoldJob(
            row.id,
            row.number,
            State(row.state),
            row.step,
            row.steps,
            row.epoch,
            row.validation_rows,
            None if row.reason_code is None else (row.reason_code, row.reason_message or ""),
            best.get(row.id),
        )
        for row in rows
    ]
