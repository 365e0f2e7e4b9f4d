"""Webhooks: addresses that are told of a tenant's jobs, each with a secret by which its receiver knows us."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, deliveries, idempotency
from service.store.database import Store
from service.store.errors import NotFound, TooMany
from service.store.idempotency import Created, Once
from service.store.ids import new_id
from service.store.models import Webhook, WebhookDelivery

MOST_WEBHOOKS = 100  # of a tenant: each is looked at whenever one of its jobs starts or ends
SECRET_BYTES = 32
MOST_FORMER_SECRETS = 4


@dataclass(frozen=True)
class NewWebhook:
    """A webhook to be made. tags: only jobs that have all of these."""

    tenant_id: str
    url: str
    events: Sequence[str]
    name: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True


def create(store: Store, new: NewWebhook, *, answer: Callable[[Webhook], bytes], once: Once | None = None) -> tuple[Created, str]:
    """Make a webhook; what was made, and its secret. Raises TooMany.

    A repeated request makes none: then the secret given is of no use.
    """
    secret = _new_secret()

    def insert(session: Session) -> Created:
        there = sa.select(sa.func.count()).select_from(Webhook).where(Webhook.tenant_id == new.tenant_id)
        if (session.scalar(there) or 0) >= MOST_WEBHOOKS:
            raise TooMany("webhook", MOST_WEBHOOKS)
        now = store.now(session)
        row = Webhook(
            id=new_id("wh"),
            tenant_id=new.tenant_id,
            name=new.name,
            url=new.url,
            events=list(new.events),
            tags=dict(new.tags),
            secret=secret,
            former_secrets=[],
            enabled=new.enabled,
            created_at=now,
        )
        session.add(row)
        audit.record(session, now, "webhook.create", row.id, new.tenant_id, url=new.url, events=list(new.events))
        session.flush()
        return Created(row.id, answer(row))

    return idempotency.create(store, new.tenant_id, once, insert), secret


def rotate(
    store: Store,
    tenant_id: str,
    webhook_id: str,
    *,
    overlap_seconds: float,
    answer: Callable[[Webhook], bytes],
    once: Once | None = None,
) -> tuple[Created, str]:
    """Give a webhook a new secret; the old one signs beside it for `overlap_seconds`. As for `create`. Raises NotFound."""
    secret = _new_secret()

    def change(session: Session) -> Created:
        row, now = _find(session, tenant_id, webhook_id), store.now(session)
        former = [[row.secret, now + overlap_seconds], *row.former_secrets] if overlap_seconds else []
        row.former_secrets = [one for one in former if one[1] > now][:MOST_FORMER_SECRETS]
        row.secret = secret
        audit.record(session, now, "webhook.rotate", webhook_id, tenant_id, overlap_seconds=overlap_seconds)
        session.flush()
        return Created(webhook_id, answer(row))

    return idempotency.create(store, tenant_id, once, change), secret


def change(store: Store, tenant_id: str, webhook_id: str, values: Mapping[str, Any]) -> Webhook:
    """Write `values` of name, url, events, tags, enabled; answer the webhook as it is then. Raises NotFound.

    One that is enabled again, or sent elsewhere, begins without its failures. Disabled, it drops what waits.
    """
    with store.write() as session:
        row = _find(session, tenant_id, webhook_id)
        changed = {name: [getattr(row, name), value] for name, value in values.items() if getattr(row, name) != value}
        if not changed:
            return row
        for name in changed:
            setattr(row, name, values[name])
        if "enabled" in changed and not row.enabled:
            deliveries.disable(session, row, None)
        if "url" in changed or changed.get("enabled") == [False, True]:
            row.failing_since, row.disabled_reason = None, None if row.enabled else row.disabled_reason
        audit.record(session, store.now(session), "webhook.change", webhook_id, tenant_id, changed=changed)
        return row


def delete(store: Store, tenant_id: str, webhook_id: str) -> None:
    """Delete a webhook and what was delivered or is to be. Raises NotFound."""
    with store.write() as session:
        row = _find(session, tenant_id, webhook_id)
        audit.record(session, store.now(session), "webhook.delete", webhook_id, tenant_id, url=row.url)
        session.delete(row)
        session.flush()
        session.execute(sa.delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id))


def send_test(
    store: Store, tenant_id: str, webhook_id: str, *, answer: Callable[[WebhookDelivery], bytes], once: Once | None = None
) -> Created:
    """Send a delivery that tells of nothing. Raises NotFound, WebhookDisabled."""

    def insert(session: Session) -> Created:
        row = deliveries.add_test(store, session, _find(session, tenant_id, webhook_id))
        audit.record(session, row.created_at, "webhook.test", webhook_id, tenant_id, delivery=row.id)
        session.flush()
        return Created(row.id, answer(row))

    return idempotency.create(store, tenant_id, once, insert)


def get(store: Store, tenant_id: str, webhook_id: str) -> Webhook:
    """The webhook. Raises NotFound."""
    with store.read() as session:
        row = session.get(Webhook, webhook_id)
    if row is None or row.tenant_id != tenant_id:
        raise NotFound("webhook", webhook_id)
    return row


def page(store: Store, tenant_id: str, *, limit: int, before: str | None = None) -> Sequence[Webhook]:
    """The newest webhooks made before the one named `before`, newest first."""
    query = sa.select(Webhook).where(Webhook.tenant_id == tenant_id).order_by(Webhook.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Webhook.id < before)
    with store.read() as session:
        return session.scalars(query).all()


def _find(session: Session, tenant_id: str, webhook_id: str) -> Webhook:
    row = session.get(Webhook, webhook_id, with_for_update=True)
    if row is None or row.tenant_id != tenant_id:
        raise NotFound("webhook", webhook_id)
    return row


def _new_secret() -> str:
    """As Standard Webhooks writes it: whsec_, then random bytes in base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
