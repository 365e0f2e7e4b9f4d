"""The trash: datasets that nobody is to use any more, until somebody takes them out or their bytes are given back."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, blobs
from service.store.database import Store
from service.store.errors import DatasetInUse, NotFound
from service.store.models import Dataset, Job
from service.store.states import TERMINAL

NAMED_JOBS = 10


def put(store: Store, tenant_id: str, dataset_id: str) -> Dataset:
    """Put the dataset into the trash, where it may be already; answer it. Raises NotFound, or DatasetInUse while a job needs it."""
    with store.write() as session:
        dataset = _unneeded(store, session, tenant_id, dataset_id)
        if dataset.trashed_at is None:
            dataset.trashed_at = store.now(session)
            audit.record(session, dataset.trashed_at, "dataset.trash", dataset_id, tenant_id, name=dataset.name)
        return dataset


def restore(store: Store, tenant_id: str, dataset_id: str) -> Dataset:
    """Take the dataset out of the trash, if it is there; answer it. Raises NotFound."""
    with store.write() as session:
        dataset = _locked(store, session, tenant_id, dataset_id)
        if dataset.trashed_at is not None:
            dataset.trashed_at = None
            audit.record(session, store.now(session), "dataset.restore", dataset_id, tenant_id, name=dataset.name)
        return dataset


def purge(store: Store, tenant_id: str, dataset_id: str) -> int:
    """Delete the dataset for good, in the trash or not; answer how many bytes that frees. Raises NotFound, or DatasetInUse."""
    with store.write() as session:
        dataset = _unneeded(store, session, tenant_id, dataset_id)
        freed_bytes, blob_id = _forget(store, session, dataset)
    blobs.remove(store, [blob_id])
    return freed_bytes


def purge_old(store: Store, age_seconds: float) -> int:
    """Delete what was put into the trash before `age_seconds`; answer how many bytes that frees."""
    freed_bytes = 0
    with store.read() as session:
        old = sa.and_(Dataset.trashed_at < store.now(session) - age_seconds, Dataset.purged_at.is_(None))
        ids = session.scalars(sa.select(Dataset.id).where(old)).all()
    for dataset_id in ids:
        with store.write() as session:
            # A row that is locked is left to the next round: somebody may be restoring it.
            found = sa.select(Dataset).where(Dataset.id == dataset_id, old)
            dataset = session.scalar(found if store.is_sqlite else found.with_for_update(skip_locked=True))
            if dataset is None:
                continue
            freed, blob_id = _forget(store, session, dataset)
            freed_bytes += freed
        blobs.remove(store, [blob_id])
    return freed_bytes


def _unneeded(store: Store, session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    """The dataset, locked; no job that has not ended is on it, and none can be made until this transaction ends."""
    dataset = _locked(store, session, tenant_id, dataset_id)
    needing = sa.select(Job.id).where(Job.dataset_id == dataset_id, Job.state.not_in(TERMINAL)).order_by(Job.id).limit(NAMED_JOBS)
    if jobs := session.scalars(needing).all():
        raise DatasetInUse(dataset_id, jobs)
    return dataset


def _locked(store: Store, session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    found = sa.select(Dataset).where(Dataset.id == dataset_id, Dataset.tenant_id == tenant_id, Dataset.purged_at.is_(None))
    dataset = session.scalar(found if store.is_sqlite else found.with_for_update())
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    return dataset


def _forget(store: Store, session: Session, dataset: Dataset) -> tuple[int, str]:
    """(bytes, blob) that are given back. A dataset that ended jobs refer to stays as a row that says what it was."""
    freed_bytes, blob_id, now = dataset.bytes, dataset.blob_id, store.now(session)
    audit.record(session, now, "dataset.purge", dataset.id, dataset.tenant_id, name=dataset.name, bytes=freed_bytes)
    if session.scalar(sa.select(sa.exists().where(Job.dataset_id == dataset.id))):
        dataset.purged_at, dataset.bytes, dataset.blob_id = now, 0, ""
        dataset.trashed_at = dataset.trashed_at or now
    else:
        session.delete(dataset)
    return freed_bytes, blob_id
