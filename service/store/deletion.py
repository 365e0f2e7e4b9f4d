"""Deleting jobs that have ended, for good: their rows, their events, what they reported, and every byte they left.

A cross-validation is deleted with all its jobs, or not at all. Of one whose jobs were deleted one by one its row stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, blobs
from service.store.database import Store
from service.store.errors import IllegalAction, JobInUse, NotFound
from service.store.models import (
    Checkpoint,
    CrossValidation,
    Dataset,
    Job,
    JobAssessment,
    JobEvent,
    JobFile,
    JobMetric,
    JobSpec,
    ModelVersion,
    Snapshot,
)
from service.store.states import TERMINAL, State, allowed_actions

NAMED = 10


def delete(store: Store, tenant_id: str, job_id: str) -> int:
    """Delete the job; answer how many bytes that frees.

    Raises NotFound; IllegalAction while it has not ended; JobInUse where jobs go on from it, or versions of models came from it.
    """
    with store.write() as session:
        found = sa.select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id)
        job = session.scalar(found if store.is_sqlite else found.with_for_update())
        if job is None:
            raise NotFound("job", job_id)
        freed_bytes, blob_ids = _delete(store, session, job)
    blobs.remove(store, blob_ids)
    return freed_bytes


def delete_cross_validation(store: Store, tenant_id: str, cross_validation_id: str) -> int:
    """Delete the cross-validation and its jobs; answer how many bytes that frees.

    Raises NotFound; IllegalAction and JobInUse as for each of its jobs, and then nothing is deleted.
    """
    with store.write() as session:
        found = sa.select(CrossValidation).where(CrossValidation.id == cross_validation_id, CrossValidation.tenant_id == tenant_id)
        row = session.scalar(found if store.is_sqlite else found.with_for_update())
        if row is None:
            raise NotFound("cross-validation", cross_validation_id)
        jobs = sa.select(Job).where(Job.cross_validation_id == cross_validation_id).order_by(Job.id)
        freed = [_delete(store, session, job) for job in session.scalars(jobs if store.is_sqlite else jobs.with_for_update()).all()]
        freed_bytes = sum(freed_by_job for freed_by_job, _ in freed)
        session.delete(row)
        audit.record(
            session, store.now(session), "cross_validation.delete", cross_validation_id, tenant_id, name=row.name, bytes=freed_bytes
        )
    blobs.remove(store, [blob_id for _, blob_ids in freed for blob_id in blob_ids])
    return freed_bytes


def _delete(store: Store, session: Session, job: Job) -> tuple[int, list[str]]:
    """Delete the job's rows; (how many bytes that frees, their blobs, which are not removed yet). Raises IllegalAction, JobInUse."""
    job_id, tenant_id, dataset_id, name = job.id, job.tenant_id, job.dataset_id, job.name
    if job.state not in TERMINAL:
        raise IllegalAction(job_id, "delete", job.state, allowed_actions(State(job.state)))
    # Ids grow with time, so those of its children are larger.
    of_it = sa.and_(Job.tenant_id == tenant_id, Job.id > job_id, Job.parent["job"].as_string() == job_id)
    if children := session.scalars(sa.select(Job.id).where(of_it).order_by(Job.id).limit(NAMED)).all():
        raise JobInUse(job_id, children)
    versions = sa.select(ModelVersion).where(ModelVersion.job_id == job_id).order_by(ModelVersion.model, ModelVersion.version)
    if names := [f"{row.model}@{row.version}" for row in session.scalars(versions.limit(NAMED))]:
        raise JobInUse(job_id, (), names)
    freed_bytes, blob_ids = 0, list[str]()
    for kept in (Snapshot, Checkpoint, JobFile):
        rows = session.execute(sa.delete(kept).where(kept.job_id == job_id).returning(kept.bytes, kept.blob_id)).all()
        freed_bytes += sum(row.bytes for row in rows)
        blob_ids += [row.blob_id for row in rows]
    for part in (JobMetric, JobEvent, JobAssessment, JobSpec):
        session.execute(sa.delete(part).where(part.job_id == job_id))
    session.delete(job)
    session.flush()
    _forget_purged_dataset(session, dataset_id)
    audit.record(session, store.now(session), "job.delete", job_id, tenant_id, name=name, bytes=freed_bytes)
    return freed_bytes, blob_ids


def _forget_purged_dataset(session: Session, dataset_id: str) -> None:
    """Delete the row of a purged dataset once the last job that referred to it is gone."""
    alone = ~sa.exists().where(Job.dataset_id == dataset_id)
    session.execute(sa.delete(Dataset).where(Dataset.id == dataset_id, Dataset.purged_at.is_not(None), alone))
