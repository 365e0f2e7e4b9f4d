"""Which queued job is next: one ORDER BY, asked by the claim and by "how many jobs are ahead of me"."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from service.store.models import Job, Tenant

AGEING_SECONDS = 600.0  # waiting this long counts as one more priority
FADING_SECONDS = 3600.0  # a tenant's used seconds count half after this long

Time = float | sa.ColumnElement[float]
"""Seconds by the store's clock, or the parameter of a statement that stands for them."""


def faded(now: Time) -> sa.ColumnElement[float]:
    """The tenant's recent seconds: what it used, less as time goes by. A clock that was set back makes them no more."""
    elapsed = sa.case((Tenant.used_at < now, _seconds(now) - Tenant.used_at), else_=0.0)
    return Tenant.used_seconds / (1.0 + elapsed / FADING_SECONDS)


def aged_priority(now: Time) -> sa.ColumnElement[Any]:
    """The job's priority, one higher for every AGEING_SECONDS that it has waited."""
    return Job.priority + sa.func.floor((_seconds(now) - Job.runnable_since) / AGEING_SECONDS)


def goes_before(now: Time, priority: int | sa.ColumnElement[int], used_seconds: float | sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    """Whether a queued job is taken before one of `priority` that is queued only now, whose tenant used `used_seconds`."""
    aged = aged_priority(now)
    return sa.or_(aged > priority, sa.and_(aged == priority, faded(now) <= used_seconds))


def keys(now: Time) -> tuple[sa.SQLColumnExpression[Any], ...]:
    """What queued jobs (joined with their tenants) are sorted by, ascending."""
    return -aged_priority(now), faded(now), Job.runnable_since, Job.id


def _seconds(now: Time) -> sa.ColumnElement[float]:
    return now if isinstance(now, sa.ColumnElement) else sa.literal(now, sa.Float)
