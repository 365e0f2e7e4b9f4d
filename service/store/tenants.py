"""Tenants: who owns datasets, jobs and keys, and how much of everything each may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, idempotency, quotas
from service.store.database import Store
from service.store.errors import AlreadyThere, NotFound
from service.store.idempotency import Created, Once
from service.store.models import Tenant
from service.store.quotas import Quota

Limits = Mapping[Quota, int | None]


def create(
    store: Store, tenant_id: str, name: str, limits: Limits, *, owner: str, answer: Callable[[Tenant], bytes], once: Once | None = None
) -> Created:
    """Add a tenant; limits that are not named are none. owner: the tenant that asks. Raises AlreadyThere."""

    def insert(session: Session) -> Created:
        now = store.now(session)
        row = store.insert(Tenant).values(id=tenant_id, name=name, created_at=now, used_seconds=0.0, used_at=0.0)
        if session.scalar(row.on_conflict_do_nothing().returning(Tenant.id)) is None:
            raise AlreadyThere("tenant", tenant_id)
        tenant = session.get_one(Tenant, tenant_id)
        quotas.change(tenant, limits)
        audit.record(session, now, "tenant.create", tenant_id, tenant_id, name=name, quotas=_said(limits))
        session.flush()
        return Created(tenant_id, answer(tenant))

    return idempotency.create(store, owner, once, insert)


def change(store: Store, tenant_id: str, *, name: str | None = None, limits: Limits) -> Tenant:
    """Give a tenant another name or other limits; what is not named stays. Answers the tenant as it is then. Raises NotFound."""
    with store.write() as session:
        tenant = session.get(Tenant, tenant_id, with_for_update={"key_share": True})
        if tenant is None:
            raise NotFound("tenant", tenant_id)
        before = {quota: limit for quota, limit in quotas.limits_of(tenant).items() if quota in limits}
        changed: dict[str, list[Any]] = {} if name in (None, tenant.name) else {"name": [tenant.name, name]}
        tenant.name = name or tenant.name
        quotas.change(tenant, limits)
        changed |= {str(quota): [before[quota], limit] for quota, limit in limits.items() if before[quota] != limit}
        if changed:
            audit.record(session, store.now(session), "tenant.update", tenant_id, tenant_id, changed=changed)
        return tenant


def get(store: Store, tenant_id: str) -> Tenant:
    """The tenant. Raises NotFound."""
    with store.read() as session:
        tenant = session.get(Tenant, tenant_id)
    if tenant is None:
        raise NotFound("tenant", tenant_id)
    return tenant


def page(store: Store, only: str | None, *, limit: int, after: str | None = None) -> Sequence[Tenant]:
    """Tenants by their id, behind the one named `after`; only: this one alone."""
    query = sa.select(Tenant).order_by(Tenant.id).limit(limit)
    if only is not None:
        query = query.where(Tenant.id == only)
    if after is not None:
        query = query.where(Tenant.id > after)
    with store.read() as session:
        return session.scalars(query).all()


def _said(limits: Limits) -> dict[str, int | None]:
    return {str(quota): limit for quota, limit in limits.items()}
