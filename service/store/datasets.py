"""Datasets: a row that describes the table, a blob that holds its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, idempotency, quotas, uploads
from service.store.database import Store
from service.store.errors import InTrash, NotFound, SameContent
from service.store.idempotency import Created, Once
from service.store.ids import new_id
from service.store.models import Dataset, Tenant

_DATASET = sa.select(*Dataset.__table__.c).where(Dataset.id == sa.bindparam("dataset_id"), Dataset.tenant_id == sa.bindparam("tenant_id"))


@dataclass(frozen=True)
class NewDataset:
    """A dataset whose blob is already written."""

    tenant_id: str
    name: str | None
    digest: str
    rows: int
    bytes: int
    columns: list[Any]
    header: dict[str, Any]
    blob_id: str
    sniffed: dict[str, Any] | None = None


def create(
    store: Store, new: NewDataset, *, answer: Callable[[Dataset], bytes], once: Once | None = None, upload_id: str | None = None
) -> Created:
    """Add a dataset; its row, the idempotency key and the answer are committed together.

    upload_id: the upload in parts that becomes it.
    Raises QuotaExceeded, or SameContent where the tenant has the same table already: then nothing is written.
    """

    def insert(session: Session) -> Created:
        # One upload of a tenant at a time: a twin waits here, and finds the first. SQLite has one writer at a time anyway.
        session.execute(sa.select(Tenant.id).where(Tenant.id == new.tenant_id).with_for_update(key_share=True))
        if same := session.scalar(_same_content(new.tenant_id, new.digest)):
            session.expunge(same)  # it outlives the transaction
            raise SameContent(same)
        dataset_id = new_id("ds")
        if upload_id is not None:  # first: it gives its room back
            uploads.becomes(session, upload_id, dataset_id)
        quotas.check_room(session, new.tenant_id, new.bytes)
        dataset = Dataset(id=dataset_id, created_at=store.now(session), **vars(new))
        session.add(dataset)
        audit.record(session, dataset.created_at, "dataset.create", dataset.id, new.tenant_id, name=new.name, bytes=new.bytes)
        session.flush()
        return Created(dataset.id, answer(dataset))

    return idempotency.create(store, new.tenant_id, once, insert)


def get(store: Store, tenant_id: str, dataset_id: str, *, in_trash: bool = False) -> Dataset:
    """The dataset. Raises NotFound, also for another tenant's, and for one in the trash unless that is asked for."""
    with store.read_rows() as connection:
        dataset = connection.execute(_DATASET, {"dataset_id": dataset_id, "tenant_id": tenant_id}).one_or_none()
    if dataset is None or dataset.purged_at is not None:
        raise NotFound("dataset", dataset_id)
    if dataset.trashed_at is not None and not in_trash:
        raise InTrash(dataset_id)
    return cast(Dataset, dataset)  # a plain row with its columns: this is asked with every job


def with_content(store: Store, tenant_id: str, digest: str) -> Dataset | None:
    """The tenant's dataset with this digest, not in the trash, or None."""
    with store.read() as session:
        return cast(Dataset | None, session.scalar(_same_content(tenant_id, digest)))


def page(store: Store, tenant_id: str, *, limit: int, before: str | None = None, in_trash: bool = False) -> Sequence[Dataset]:
    """The newest datasets made before the one named `before`, newest first: those outside the trash, or those in it."""
    with store.read() as session:
        where = Dataset.trashed_at.is_not(None) if in_trash else Dataset.trashed_at.is_(None)
        query = sa.select(Dataset).where(Dataset.tenant_id == tenant_id, Dataset.purged_at.is_(None), where)
        query = query.order_by(Dataset.id.desc()).limit(limit)
        return session.scalars(query if before is None else query.where(Dataset.id < before)).all()


def _same_content(tenant_id: str, digest: str) -> sa.Select[Any]:
    usable = sa.and_(Dataset.trashed_at.is_(None), Dataset.purged_at.is_(None))
    return sa.select(Dataset).where(Dataset.tenant_id == tenant_id, Dataset.digest == digest, usable).order_by(Dataset.id).limit(1)
