"""Versions of models: trained networks that never change, numbered from 1. A number is given once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, blobs, idempotency, named_models, quotas
from service.store.database import Store
from service.store.errors import NotFound, VersionInUse
from service.store.idempotency import Created, Once
from service.store.models import Job, ModelAlias, ModelVersion, Snapshot


@dataclass(frozen=True)
class NewVersion:
    """A version whose blob is already written, as a snapshot of the job, or for the version alone.

    imported: what is told of the file that it came as, where no job has trained it.
    """

    tenant_id: str
    model: str
    job_id: str | None
    step: int | None
    epoch: int | None
    description: str | None
    digest: str
    bytes: int
    values: dict[str, Any]
    signature: dict[str, Any]
    blob_id: str
    imported: dict[str, Any] | None = None


@dataclass(frozen=True)
class VersionDetail:
    """A version, and the aliases that stand for it."""

    row: ModelVersion
    aliases: Sequence[str]


def create(store: Store, new: NewVersion, *, answer: Callable[[VersionDetail], bytes], once: Once | None = None) -> Created:
    """Add the next version of a model. Raises NotFound for the model or the job, or QuotaExceeded."""

    def insert(session: Session) -> Created:
        model = named_models.locked(store, session, new.tenant_id, new.model)
        if new.job_id is not None:
            # Locked: it is not deleted before the version is there, and its snapshots are not either.
            job = sa.select(Job.id).where(Job.id == new.job_id, Job.tenant_id == new.tenant_id)
            if session.scalar(job.with_for_update(key_share=True, read=True)) is None:
                raise NotFound("job", new.job_id)
        if session.scalar(sa.select(Snapshot.job_id).where(Snapshot.blob_id == new.blob_id)) is None:
            quotas.check_room(session, new.tenant_id, new.bytes)
        model.newest_version += 1
        row = ModelVersion(version=model.newest_version, created_at=store.now(session), **vars(new))
        session.add(row)
        said = {"version": row.version, "digest": f"sha256:{new.digest}", "job": new.job_id, "step": new.step}
        said |= {} if new.imported is None else {"imported": new.imported["digest"]}
        audit.record(session, row.created_at, "model.version", new.model, new.tenant_id, **said)
        session.flush()
        return Created(str(row.version), answer(VersionDetail(row, ())))

    return idempotency.create(store, new.tenant_id, once, insert)


def get(store: Store, tenant_id: str, model: str, which: int | str | None = None) -> VersionDetail:
    """The version of this number, the one that an alias stands for, or the newest. Raises NotFound."""
    with store.read() as session:
        number: sa.ColumnElement[Any] | int | None = which if isinstance(which, int) else None
        if isinstance(which, str):
            number = session.scalar(_of_model(sa.select(ModelAlias.version), ModelAlias, tenant_id, model).where(ModelAlias.alias == which))
            if number is None:
                raise NotFound("alias", f"{model}@{which}")
        found = _of_model(sa.select(ModelVersion), ModelVersion, tenant_id, model).order_by(ModelVersion.version.desc()).limit(1)
        row = session.scalar(found if number is None else found.where(ModelVersion.version == number))
        if row is None:
            raise NotFound("model version", f"{model}@{which or 'newest'}")
        return VersionDetail(row, _aliases(session, tenant_id, model).get(row.version, []))


def page(store: Store, tenant_id: str, model: str, *, limit: int, before: int | None = None) -> Sequence[VersionDetail]:
    """The newest versions before the number `before`, newest first. Raises NotFound where there is no such model."""
    named_models.get(store, tenant_id, model)
    query = _of_model(sa.select(ModelVersion), ModelVersion, tenant_id, model).order_by(ModelVersion.version.desc()).limit(limit)
    with store.read() as session:
        aliases = _aliases(session, tenant_id, model)
        rows = session.scalars(query if before is None else query.where(ModelVersion.version < before))
        return [VersionDetail(row, aliases.get(row.version, [])) for row in rows]


def remove(store: Store, tenant_id: str, model: str, version: int) -> int:
    """Delete a version; answer how many bytes that frees. Raises NotFound, or VersionInUse while an alias stands for it."""
    with store.write() as session:
        named_models.locked(store, session, tenant_id, model)
        if session.get(ModelVersion, (tenant_id, model, version)) is None:
            raise NotFound("model version", f"{model}@{version}")
        if aliases := _aliases(session, tenant_id, model).get(version):
            raise VersionInUse(f"Version {version} of the model {model}", aliases)
        freed_bytes, blob_ids = named_models.forget_versions(session, tenant_id, model, ModelVersion.version == version)
        audit.record(session, store.now(session), "model.version.delete", model, tenant_id, version=version, bytes=freed_bytes)
    blobs.remove(store, blob_ids)
    return freed_bytes


def _of_model(query: sa.Select[Any], table: type[ModelVersion] | type[ModelAlias], tenant_id: str, model: str) -> sa.Select[Any]:
    return query.where(table.tenant_id == tenant_id, table.model == model)


def _aliases(session: Session, tenant_id: str, model: str) -> dict[int, list[str]]:
    """The aliases that stand for each version."""
    found: dict[int, list[str]] = {}
    standing = _of_model(sa.select(ModelAlias), ModelAlias, tenant_id, model).where(ModelAlias.version.is_not(None))
    for row in session.scalars(standing.order_by(ModelAlias.alias)):
        found.setdefault(row.version or 0, []).append(row.alias)
    return found
