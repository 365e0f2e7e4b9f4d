"""Aliases of models: a word, such as `production`, that stands for one version. Moved by compare-and-set; every move is kept."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from service.store import audit, named_models
from service.store.database import Store
from service.store.errors import AliasMoved, NotFound
from service.store.models import ModelAlias, ModelAliasMove, ModelVersion


def get(store: Store, tenant_id: str, model: str, alias: str) -> ModelAlias | None:
    """The alias; None where the model has none of this name. Raises NotFound for the model."""
    named_models.get(store, tenant_id, model)
    with store.read() as session:
        return _standing(session.get(ModelAlias, (tenant_id, model, alias)))


def move(store: Store, tenant_id: str, model: str, alias: str, version: int | None, *, revision: int | None) -> ModelAlias:
    """Let the alias stand for a version (None: for none any more); answer it as it is then.

    revision: what it was when it was read; None: there was none. Raises AliasMoved where that is not so (any more), NotFound for the model
    or the version. For the version that it stands for already nothing is written.
    """
    with store.write() as session:
        named_models.locked(store, session, tenant_id, model)
        row = session.get(ModelAlias, (tenant_id, model, alias))
        standing = _standing(row)
        if (standing and standing.revision) != revision:
            raise AliasMoved(f"The alias {alias} of the model {model} was moved meanwhile.")
        if version is not None and session.get(ModelVersion, (tenant_id, model, version)) is None:
            raise NotFound("model version", f"{model}@{version}")
        if standing is not None and standing.version == version:
            return standing
        now, before = store.now(session), row and row.version
        if row is None:
            row = ModelAlias(tenant_id=tenant_id, model=model, alias=alias, revision=0)
            session.add(row)
        row.version, row.revision, row.moved_at = version, row.revision + 1, now
        session.flush()
        moved = {"tenant_id": tenant_id, "model": model, "alias": alias, "revision": row.revision, "version": version}
        session.add(ModelAliasMove(**moved, at=now, key_id=audit.present_key()))
        audit.record(session, now, "model.alias", model, tenant_id, alias=alias, version=version, before=before)
        return row


def moves(store: Store, tenant_id: str, model: str, alias: str, *, limit: int, before: int | None = None) -> Sequence[ModelAliasMove]:
    """What the alias stood for, newest first, before the revision `before`. Raises NotFound where there never was one."""
    query = sa.select(ModelAliasMove).where(
        ModelAliasMove.tenant_id == tenant_id, ModelAliasMove.model == model, ModelAliasMove.alias == alias
    )
    if before is not None:
        query = query.where(ModelAliasMove.revision < before)
    with store.read() as session:
        if session.get(ModelAlias, (tenant_id, model, alias)) is None:
            raise NotFound("alias", f"{model}@{alias}")
        return session.scalars(query.order_by(ModelAliasMove.revision.desc()).limit(limit)).all()


def _standing(row: ModelAlias | None) -> ModelAlias | None:
    return None if row is None or row.version is None else row
