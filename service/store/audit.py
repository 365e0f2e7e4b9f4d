"""The audit log: who did what. The row is written in the transaction of the change: never one without the other.

Whoever serves a request says with `acts` for whom it is; the functions of the store that change something record it then. What
nobody asked for (what workers and the reaper do to jobs) stands in the events of its job.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store.database import Store
from service.store.ids import new_id
from service.store.models import AuditLog


@dataclass(frozen=True)
class Actor:
    """Who asks: the key that was sent, and the request that it came with."""

    key_id: str
    request_id: str | None


@dataclass(frozen=True)
class Filter:
    """Which entries are asked for; None asks for all. since, until: seconds since 1970, [since, until)."""

    tenant_id: str | None = None
    key_id: str | None = None
    action: str | None = None
    target: str | None = None
    since: float | None = None
    until: float | None = None


_INSERT = sa.insert(AuditLog.__table__)  # type: ignore[arg-type]  # a mapped class has a Table, though it does not say so
_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)


def acts(actor: Actor | None) -> None:
    """From now on, what this thread changes is done for `actor`; None: for nobody."""
    _actor.set(actor)


def present_key() -> str | None:
    """The id of the key that the present actor sent; None without an actor."""
    actor = _actor.get()
    return None if actor is None else actor.key_id


def record(session: Session | sa.Connection, at: float, action: str, target: str, tenant_id: str, **data: Any) -> None:
    """Write that the present actor does `action` to `target`, a thing of the tenant, in this transaction; nothing without an actor."""
    actor = _actor.get()
    if actor is not None:
        session.execute(_INSERT, _entry(actor, at, action, target, tenant_id, data))


def record_read(store: Store, actor: Actor, action: str, target: str, tenant_id: str, **data: Any) -> None:
    """Write that `actor` has read `target`, in a transaction of its own."""
    with store.write() as session:
        session.execute(_INSERT, _entry(actor, store.now(session), action, target, tenant_id, data))


def page(store: Store, wanted: Filter, *, limit: int, before: str | None = None) -> Sequence[AuditLog]:
    """The newest entries before the one named `before`, newest first."""
    query = sa.select(AuditLog).order_by(AuditLog.id.desc()).limit(limit)
    for name in ("tenant_id", "key_id", "action", "target"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(getattr(AuditLog, name) == value)
    if wanted.since is not None:
        query = query.where(AuditLog.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditLog.at < wanted.until)
    if before is not None:
        query = query.where(AuditLog.id < before)
    with store.read() as session:
        return session.scalars(query).all()


def remove_old(store: Store, age_seconds: float) -> None:
    """Forget entries older than `age_seconds`."""
    with store.write() as session:
        session.execute(sa.delete(AuditLog).where(AuditLog.at < store.now(session) - age_seconds))


def _entry(actor: Actor, at: float, action: str, target: str, tenant_id: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": new_id("audit"),
        "at": at,
        "tenant_id": tenant_id,
        "key_id": actor.key_id,
        "action": action,
        "target": target,
        "request_id": actor.request_id,
        "data": data,
    }
