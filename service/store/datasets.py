"""Datasets: a row that describes the table, a blob that holds its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, idempotency, quotas
from service.store.database import Store
from service.store.errors import NotFound
from service.store.idempotency import Created, Once
from service.store.ids import new_id
from service.store.models import Dataset

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


def create(store: Store, new: NewDataset, *, answer: Callable[[Dataset], bytes], once: Once | None = None) -> Created:
    """Add a dataset; its row, the idempotency key and the answer are committed together. Raises QuotaExceeded."""

    def insert(session: Session) -> Created:
        quotas.check_room(session, new.tenant_id, new.bytes)
        dataset = Dataset(id=new_id("ds"), created_at=store.now(session), **vars(new))
        session.add(dataset)
        audit.record(session, dataset.created_at, "dataset.create", dataset.id, new.tenant_id, name=new.name, bytes=new.bytes)
        session.flush()
        return Created(dataset.id, answer(dataset))

    return idempotency.create(store, new.tenant_id, once, insert)


def get(store: Store, tenant_id: str, dataset_id: str) -> Dataset:
    """The dataset. Raises NotFound, also for another tenant's."""
    with store.read_rows() as connection:
        dataset = connection.execute(_DATASET, {"dataset_id": dataset_id, "tenant_id": tenant_id}).one_or_none()
    if dataset is None:
        raise NotFound("dataset", dataset_id)
    return cast(Dataset, dataset)  # a plain row with its columns: this is asked with every job


def page(store: Store, tenant_id: str, *, limit: int, before: str | None = None) -> Sequence[Dataset]:
    """The newest datasets made before the one named `before`, newest first."""
    with store.read() as session:
        query = sa.select(Dataset).where(Dataset.tenant_id == tenant_id).order_by(Dataset.id.desc()).limit(limit)
        return session.scalars(query if before is None else query.where(Dataset.id < before)).all()
