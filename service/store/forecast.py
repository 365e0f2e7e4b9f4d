"""What a job that would be queued now has before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from service.store import queue_order, quotas
from service.store.claims import ALIVE_SECONDS
from service.store.database import Store
from service.store.models import Job, Tenant, Worker
from service.store.states import OWNED, State


@dataclass(frozen=True)
class Outlook:
    """workers: alive. running: jobs that workers train. ahead: for each queued job that would go first, its seconds left where known."""

    workers: int
    running: int
    ahead: Sequence[float | None]


def outlook(store: Store, tenant_id: str, priority: int) -> Outlook:
    """What a job of this tenant and priority would find. Jobs that a quota holds back are not counted."""
    with store.read() as session:
        now = store.now(session)
        workers = session.scalar(sa.select(sa.func.count()).select_from(Worker).where(Worker.heartbeat_at > now - ALIVE_SECONDS))
        running = session.scalar(sa.select(sa.func.count()).select_from(Job).where(Job.state.in_(OWNED)))
        used = session.scalar(sa.select(queue_order.faded(now)).where(Tenant.id == tenant_id)) or 0.0
        first = sa.select(Job.steps - Job.step, Job.progress).join(Tenant, Tenant.id == Job.tenant_id)
        first = first.where(
            Job.state == State.QUEUED, queue_order.goes_before(now, priority, used), quotas.held_by(quotas.day(now)).is_(None)
        )
        ahead = [(left, progress.get("steps_per_second")) for left, progress in session.execute(first)]
        return Outlook(workers or 0, running or 0, [left / rate if rate else None for left, rate in ahead])
