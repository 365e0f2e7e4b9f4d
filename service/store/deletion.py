"""Deleting a job that has ended, for good: its row, its events, what it reported, and every byte it left."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, blobs
from service.store.database import Store
from service.store.errors import IllegalAction, JobInUse, NotFound
from service.store.models import (
    Checkpoint,
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
        dataset_id, name = job.dataset_id, job.name
        session.delete(job)
        session.flush()
        _forget_purged_dataset(session, dataset_id)
        audit.record(session, store.now(session), "job.delete", job_id, tenant_id, name=name, bytes=freed_bytes)
    blobs.remove(store, blob_ids)
    return freed_bytes


def _forget_purged_dataset(session: Session, dataset_id: str) -> None:
    """Delete the row of a purged dataset once the last job that referred to it is gone."""
    alone = ~sa.exists().where(Job.dataset_id == dataset_id)
    session.execute(sa.delete(Dataset).where(Dataset.id == dataset_id, Dataset.purged_at.is_not(None), alone))
