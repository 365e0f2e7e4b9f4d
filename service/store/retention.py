"""What will be deleted by itself, and when: exactly what the reaper's clean-up deletes then, of everything that belongs to a tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from service.store import checkpoints
from service.store.database import Store
from service.store.deliveries import DeliveryState
from service.store.models import (
    AuditLog,
    Checkpoint,
    Dataset,
    IdempotencyKey,
    Job,
    ModelVersion,
    Upload,
    Webhook,
    WebhookDelivery,
)
from service.store.states import TERMINAL

What = Literal["checkpoints", "dataset", "upload", "delivery"]
"""A kind of things that are told one by one."""
Counted = Literal["checkpoints", "dataset", "upload", "delivery", "audit", "idempotency"]
"""A kind of things of which it is told when the next ones go."""

ONE_BY_ONE: tuple[What, ...] = get_args(What)


@dataclass(frozen=True)
class Leaving:
    """Something that will be deleted, and when: all checkpoints of a job that has ended, a dataset, an upload, a delivery.

    id: of the thing; of checkpoints, of their job. versions: of models, for which that job itself is kept. webhook_id: of a delivery.
    """

    what: What
    id: str
    bytes: int
    at: float
    webhook_id: str | None = None
    versions: Sequence[str] = ()


def leaving(
    store: Store,
    tenant_id: str,
    ages: Mapping[What, float],
    *,
    limit: int,
    after: tuple[float, str] | None = None,
    only: Sequence[What] = (),
) -> Sequence[Leaving]:
    """What will be deleted of the tenant's, soonest first.

    ages: how many seconds each kind is kept. after: (at, id) of the last one told. only: of these kinds; else of all.
    """
    found = sa.union_all(*(_told(what, tenant_id, ages[what]) for what in only or ONE_BY_ONE)).subquery()
    query = sa.select(found).order_by(found.c.at, found.c.id).limit(limit)
    if after is not None:
        at, id = after
        query = query.where(sa.or_(found.c.at > at, sa.and_(found.c.at == at, found.c.id > id)))
    with store.read_rows() as connection:
        rows = connection.execute(query).all()
        versions: dict[str, list[str]] = {row.id: [] for row in rows if row.what == "checkpoints"}
        holding = sa.select(ModelVersion.job_id, ModelVersion.model, ModelVersion.version).where(ModelVersion.job_id.in_(versions))
        for row in connection.execute(holding.order_by(ModelVersion.model, ModelVersion.version)):
            versions[row.job_id].append(f"{row.model}@{row.version}")
    return [Leaving(row.what, row.id, int(row.bytes), row.at, row.webhook_id, tuple(versions.get(row.id, ()))) for row in rows]


def soonest(store: Store, tenant_id: str, ages: Mapping[Counted, float]) -> dict[Counted, float | None]:
    """When the next of the tenant's things of each kind is deleted; None where there is none."""
    with store.read_rows() as connection:
        found: dict[Counted, float | None] = {}
        for what in ONE_BY_ONE:
            told = _told(what, tenant_id, ages[what]).subquery()
            found[what] = connection.scalar(sa.select(sa.func.min(told.c.at)))
        # Ids sort by the time at which they were made: the first entry is the oldest, and no other has to be looked at.
        oldest = sa.select(AuditLog.at).where(AuditLog.tenant_id == tenant_id).order_by(AuditLog.id).limit(1)
        given = sa.select(sa.func.min(IdempotencyKey.created_at)).where(IdempotencyKey.tenant_id == tenant_id)
        began: dict[Counted, float | None] = {"audit": connection.scalar(oldest), "idempotency": connection.scalar(given)}
    return found | {what: None if at is None else at + ages[what] for what, at in began.items()}


def _told(what: What, tenant_id: str, age: float) -> sa.Select[Any]:
    """what, id, bytes, at and webhook_id of the tenant's things of a kind."""
    match what:
        case "checkpoints":
            ended = sa.and_(Job.tenant_id == tenant_id, Job.state.in_(TERMINAL), checkpoints.dispensable())
            found = _row(what, Job.id, sa.func.sum(Checkpoint.bytes), Job.finished_at, age).join(Checkpoint, Checkpoint.job_id == Job.id)
            return found.where(ended).group_by(Job.id, Job.finished_at)
        case "dataset":
            trashed = sa.and_(Dataset.tenant_id == tenant_id, Dataset.trashed_at.is_not(None), Dataset.purged_at.is_(None))
            return _row(what, Dataset.id, Dataset.bytes, Dataset.trashed_at, age).where(trashed)
        case "upload":
            held = sa.case((Upload.dataset_id.is_(None), Upload.received_bytes), else_=0)
            return _row(what, Upload.id, held, Upload.changed_at, age).where(Upload.tenant_id == tenant_id)
        case "delivery":
            ended_at = sa.func.coalesce(WebhookDelivery.last_at, WebhookDelivery.created_at)
            found = _row(what, WebhookDelivery.id, sa.func.length(WebhookDelivery.body), ended_at, age, WebhookDelivery.webhook_id)
            return found.join(Webhook, Webhook.id == WebhookDelivery.webhook_id).where(
                Webhook.tenant_id == tenant_id, WebhookDelivery.state != DeliveryState.PENDING
            )


def _row(what: What, id: Any, bytes: Any, since: Any, age: float, webhook_id: Any = None) -> sa.Select[Any]:
    webhook = sa.cast(sa.null(), sa.String) if webhook_id is None else webhook_id
    at = since + sa.literal(float(age), sa.Float)
    return sa.select(
        sa.literal(what, sa.String).label("what"), id.label("id"), bytes.label("bytes"), at.label("at"), webhook.label("webhook_id")
    )
