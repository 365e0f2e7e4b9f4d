"""Models: names under which a tenant keeps trained networks. Their versions and aliases have files of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, blobs, idempotency
from service.store.database import Store
from service.store.errors import AlreadyThere, NotFound, VersionInUse
from service.store.idempotency import Created, Once
from service.store.models import Model, ModelAlias, ModelAliasMove, ModelVersion, Snapshot


@dataclass(frozen=True)
class NewModel:
    """A model to be added."""

    tenant_id: str
    name: str
    description: str | None
    tags: dict[str, Any]


@dataclass(frozen=True)
class ModelDetail:
    """A model, and for which version each of its aliases stands."""

    model: Model
    aliases: Mapping[str, int]


def create(store: Store, new: NewModel, *, answer: Callable[[ModelDetail], bytes], once: Once | None = None) -> Created:
    """Add a model without versions. Raises AlreadyThere."""

    def insert(session: Session) -> Created:
        now = store.now(session)
        row = store.insert(Model).values(**vars(new), created_at=now, revision=0, newest_version=0)
        if session.scalar(row.on_conflict_do_nothing().returning(Model.name)) is None:
            raise AlreadyThere("model", new.name)
        audit.record(session, now, "model.create", new.name, new.tenant_id)
        return Created(new.name, answer(ModelDetail(session.get_one(Model, (new.tenant_id, new.name)), {})))

    return idempotency.create(store, new.tenant_id, once, insert)


def get(store: Store, tenant_id: str, name: str) -> ModelDetail:
    """The model. Raises NotFound, also for another tenant's."""
    with store.read() as session:
        model = session.get(Model, (tenant_id, name))
        if model is None:
            raise NotFound("model", name)
        return ModelDetail(model, _aliases(session, tenant_id, [name])[name])


def page(store: Store, tenant_id: str, *, limit: int, after: str | None = None) -> Sequence[ModelDetail]:
    """Models by their names, behind the one named `after`."""
    query = sa.select(Model).where(Model.tenant_id == tenant_id).order_by(Model.name).limit(limit)
    with store.read() as session:
        models = session.scalars(query if after is None else query.where(Model.name > after)).all()
        aliases = _aliases(session, tenant_id, [model.name for model in models])
        return [ModelDetail(model, aliases[model.name]) for model in models]


def change(store: Store, tenant_id: str, name: str, revision: int, values: Mapping[str, Any]) -> bool:
    """Write `values` of description and tags; False where the model's revision is another by now. Raises NotFound."""
    with store.write() as session:
        mine = sa.and_(Model.tenant_id == tenant_id, Model.name == name)
        changed = sa.update(Model).where(mine, Model.revision == revision).values({**values, "revision": Model.revision + 1})
        if session.scalar(changed.returning(Model.name)) is None:
            locked(store, session, tenant_id, name)
            return False
        audit.record(session, store.now(session), "model.change", name, tenant_id, **values)
        return True


def remove(store: Store, tenant_id: str, name: str) -> int:
    """Delete a model and all its versions; answer how many bytes that frees. Raises NotFound, or VersionInUse for its aliases."""
    with store.write() as session:
        model = locked(store, session, tenant_id, name)
        if aliases := _aliases(session, tenant_id, [name])[name]:
            raise VersionInUse(f"The model {name}", sorted(aliases))
        freed_bytes, blob_ids = forget_versions(session, tenant_id, name)
        for table in (ModelAliasMove, ModelAlias):
            session.execute(sa.delete(table).where(table.tenant_id == tenant_id, table.model == name))
        session.delete(model)
        audit.record(session, store.now(session), "model.delete", name, tenant_id, bytes=freed_bytes)
    blobs.remove(store, blob_ids)
    return freed_bytes


def locked(store: Store, session: Session, tenant_id: str, name: str) -> Model:
    """The model, whose versions and aliases nobody else changes until this transaction ends. Raises NotFound."""
    found = sa.select(Model).where(Model.tenant_id == tenant_id, Model.name == name)
    model = session.scalar(found if store.is_sqlite else found.with_for_update())
    if model is None:
        raise NotFound("model", name)
    return model


def forget_versions(session: Session, tenant_id: str, name: str, *which: sa.ColumnElement[bool]) -> tuple[int, Sequence[str]]:
    """Delete versions, all unless told; (bytes, blobs) that are given back: those that no snapshot names."""
    gone = sa.delete(ModelVersion).where(ModelVersion.tenant_id == tenant_id, ModelVersion.model == name, *which)
    removed = {row.blob_id: row.bytes for row in session.execute(gone.returning(ModelVersion.blob_id, ModelVersion.bytes))}
    kept = set(session.scalars(sa.select(Snapshot.blob_id).where(Snapshot.blob_id.in_(removed))))
    freed = {blob_id: size for blob_id, size in removed.items() if blob_id not in kept}
    return sum(freed.values()), list(freed)


def _aliases(session: Session, tenant_id: str, names: Sequence[str]) -> Mapping[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    standing = sa.select(ModelAlias).where(ModelAlias.tenant_id == tenant_id, ModelAlias.model.in_(names), ModelAlias.version.is_not(None))
    for row in session.scalars(standing.order_by(ModelAlias.alias)):
        found[row.model][row.alias] = row.version or 0
    return found
