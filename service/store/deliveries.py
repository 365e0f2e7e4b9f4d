"""Deliveries of webhooks: written in the transaction of the event that they tell of, sent later by a process beside the workers.

So there is never one without the other, and no receiver is waited for by a job. A sender *claims* a delivery by setting the time at
which it is taken for lost; one that dies meanwhile has its delivery sent again, with the same id: at least once.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit
from service.store.clock import iso_time
from service.store.database import Store
from service.store.errors import NotFound, WebhookDisabled
from service.store.ids import new_id
from service.store.models import Job, Snapshot, Webhook, WebhookDelivery
from service.store.states import State

FIRST_RETRY_SECONDS = 5.0
RETRY_FACTOR = 4.0  # each wait is so many times the one before
LONGEST_RETRY_SECONDS = 6 * 3600.0
MOST_ATTEMPTS = 11  # about 25 hours
JITTER = 0.2
FAILING_SECONDS = 3 * 86400.0  # a webhook to which nothing could be delivered for so long is disabled
GONE = 410
MOST_LOOKED_AT = 1000  # deliveries that are due
REMOVED_ROWS = 1000  # in one transaction
DISABLED = "The webhook was disabled."
TEST = "webhook.test"


class EventType(StrEnum):
    """What a webhook can be told of."""

    JOB_STARTED = "job.started"
    JOB_PAUSED = "job.paused"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_STOPPED = "job.stopped"
    JOB_CANCELLED = "job.cancelled"


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"  # it is sent, now or later
    SUCCEEDED = "succeeded"  # the receiver took it
    FAILED = "failed"  # it is not sent any more


@dataclass(frozen=True)
class Outgoing:
    """A delivery that is this process's to send. secrets: what it is signed with, the newest first."""

    id: str
    webhook_id: str
    tenant_id: str
    attempt: int
    url: str
    secrets: tuple[str, ...]
    body: str
    failing: bool = False  # nothing could be delivered there lately


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt. status: None without an answer. error: None when the receiver took it."""

    status: int | None
    error: str | None
    retry_after_seconds: float = 0.0  # what the receiver asked for


@dataclass
class Room:
    """How many deliveries a process may begin to send now: in all, to webhooks that take nothing at present, to each, for each tenant."""

    free: int
    failing_free: int
    of_a_webhook: int
    of_a_tenant: int
    by_webhook: Counter[str]  # under way
    by_tenant: Counter[str]

    def take(self, due: sa.Row[Any] | Outgoing) -> bool:
        """Whether there is room for one more; then it is taken."""
        if self.free <= 0 or (due.failing and self.failing_free <= 0):
            return False
        if self.by_webhook[due.webhook_id] >= self.of_a_webhook or self.by_tenant[due.tenant_id] >= self.of_a_tenant:
            return False
        self.free -= 1
        self.failing_free -= due.failing
        self.by_webhook[due.webhook_id] += 1
        self.by_tenant[due.tenant_id] += 1
        return True


_OF_STATE = {State(event.partition(".")[2]): event for event in EventType if event is not EventType.JOB_STARTED}
_LISTENING = (
    sa.select(Webhook.id, Webhook.tenant_id, Webhook.events, Webhook.tags, Job.tags.label("job_tags"))
    .join(Job, Job.tenant_id == Webhook.tenant_id)
    .where(Job.id == sa.bindparam("job_id"), Webhook.enabled)
)
_JOB = sa.select(*Job.__table__.c).where(Job.id == sa.bindparam("job_id"))
_SNAPSHOTS = sa.select(*Snapshot.__table__.c).where(Snapshot.job_id == sa.bindparam("job_id"))
_ADD = sa.insert(WebhookDelivery)


def announce(session: Session | sa.Connection, job_id: str, at: float, type: str, data: Mapping[str, Any]) -> None:
    """Write a delivery for every webhook that is to hear of this event of a job, in the event's transaction.

    To be called when the job's row and snapshots are as the event says.
    """
    event = _event(type, data)
    if event is None:
        return
    if isinstance(session, Session):
        session.flush()
    connection = session.connection() if isinstance(session, Session) else session
    listening = [row for row in connection.execute(_LISTENING, {"job_id": job_id}) if _hears(row, event)]
    if not listening:
        return
    job = connection.execute(_JOB, {"job_id": job_id}).one()
    snapshots = connection.execute(_SNAPSHOTS, {"job_id": job_id}).all()
    body = _encoded(event, at, _essentials(job, snapshots))
    connection.execute(_ADD, [_new(row.id, row.tenant_id, job_id, event, body, at) for row in listening])


def add_test(store: Store, session: Session, webhook: Webhook) -> WebhookDelivery:
    """A delivery that tells of nothing, so that a receiver can be tried. Raises WebhookDisabled."""
    if not webhook.enabled:
        raise WebhookDisabled(webhook.id)
    now = store.now(session)
    body = _encoded(TEST, now, {"webhook": webhook.id, "message": "A test: nothing has happened."})
    row = WebhookDelivery(**_new(webhook.id, webhook.tenant_id, None, TEST, body, now))
    session.add(row)
    return row


def redeliver(store: Store, tenant_id: str, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Send a delivery again, now, with the same id and body. Raises NotFound, WebhookDisabled."""
    with store.write() as session:
        webhook = session.get(Webhook, webhook_id)
        if webhook is None or webhook.tenant_id != tenant_id:
            raise NotFound("webhook", webhook_id)
        row = session.get(WebhookDelivery, delivery_id, with_for_update=True)
        if row is None or row.webhook_id != webhook_id:
            raise NotFound("delivery", delivery_id)
        if not webhook.enabled:
            raise WebhookDisabled(webhook_id)
        now = store.now(session)
        row.state, row.attempts, row.next_at = DeliveryState.PENDING, 0, now
        audit.record(session, now, "webhook.redeliver", webhook_id, tenant_id, delivery=delivery_id)
        return row


def page(
    store: Store, tenant_id: str, webhook_id: str, *, limit: int, before: str | None = None, state: DeliveryState | None = None
) -> Sequence[WebhookDelivery]:
    """The newest deliveries made before the one named `before`, newest first. Raises NotFound."""
    query = sa.select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id).order_by(WebhookDelivery.id.desc()).limit(limit)
    if before is not None:
        query = query.where(WebhookDelivery.id < before)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    with store.read() as session:
        webhook = session.get(Webhook, webhook_id)
        if webhook is None or webhook.tenant_id != tenant_id:
            raise NotFound("webhook", webhook_id)
        return session.scalars(query).all()


def claim(store: Store, room: Room, lost_after_seconds: float) -> list[Outgoing]:
    """Deliveries whose time has come, to be sent by this process now; if it does not, they are sent again after `lost_after_seconds`.

    Those to webhooks that take what they get come first, then whichever waits longest.
    """
    with store.read_rows() as connection:
        now = store.now(connection)
        turn = sa.func.row_number().over(partition_by=WebhookDelivery.webhook_id, order_by=(WebhookDelivery.next_at, WebhookDelivery.id))
        row = (WebhookDelivery.id, WebhookDelivery.webhook_id, WebhookDelivery.tenant_id, WebhookDelivery.next_at)
        failing = Webhook.failing_since.is_not(None).label("failing")
        due = sa.select(*row, failing, turn.label("turn")).join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        ready = due.where(WebhookDelivery.state == DeliveryState.PENDING, WebhookDelivery.next_at <= now, Webhook.enabled).subquery()
        first = sa.select(ready).where(ready.c.turn <= room.of_a_webhook).order_by(ready.c.failing, ready.c.next_at).limit(MOST_LOOKED_AT)
        chosen = {one.id: one.next_at for one in connection.execute(first).all() if room.take(one)}
    return _claim(store, chosen, lost_after_seconds) if chosen else []


def finish(store: Store, sent: Outgoing, outcome: Outcome) -> None:
    """Write what became of an attempt, unless another process has made the next one already.

    A failed one is made again, each time later. 410 disables the webhook at once, and so does failing for days.
    """
    with store.write() as session:
        found = sa.select(Webhook).where(Webhook.id == sent.webhook_id)
        webhook = session.scalar(found if store.is_sqlite else found.with_for_update())
        mine = sa.and_(WebhookDelivery.id == sent.id, WebhookDelivery.attempts == sent.attempt)
        row = session.scalar(sa.select(WebhookDelivery).where(mine, WebhookDelivery.state == DeliveryState.PENDING).with_for_update())
        if webhook is None or row is None:
            return
        now = store.now(session)
        row.last_at, row.status, row.error = now, outcome.status, outcome.error
        if outcome.error is None:
            row.state, row.next_at, webhook.failing_since = DeliveryState.SUCCEEDED, None, None
            return
        if sent.attempt >= MOST_ATTEMPTS:
            row.state, row.next_at = DeliveryState.FAILED, None
        else:
            row.next_at = now + max(retry_seconds(sent.attempt), min(outcome.retry_after_seconds, LONGEST_RETRY_SECONDS))
        webhook.failing_since = now if webhook.failing_since is None else webhook.failing_since
        reason = "gone" if outcome.status == GONE else "failing" if now - webhook.failing_since >= FAILING_SECONDS else None
        if reason is not None and webhook.enabled:
            disable(session, webhook, reason)
            audit.record(session, now, "webhook.disable", webhook.id, webhook.tenant_id, reason=reason, url=webhook.url)


def disable(session: Session, webhook: Webhook, reason: str | None) -> None:
    """Send nothing more to the webhook: what waits has failed. reason: why the service does it by itself."""
    webhook.enabled, webhook.disabled_reason = False, reason
    session.flush()
    waiting = sa.update(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id, WebhookDelivery.state == DeliveryState.PENDING)
    session.execute(
        waiting.values(state=DeliveryState.FAILED, next_at=None, error=sa.func.coalesce(WebhookDelivery.error, DISABLED)),
        execution_options={"synchronize_session": "fetch"},
    )


def retry_seconds(attempts: int) -> float:
    """How long to wait after so many attempts: 5 s, 20 s, 80 s ... 6 h, each a fifth more or less."""
    seconds = min(FIRST_RETRY_SECONDS * RETRY_FACTOR ** (attempts - 1), LONGEST_RETRY_SECONDS)
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)


def remove_old(store: Store, age_seconds: float) -> None:
    """Forget deliveries that ended before `age_seconds`, and those of webhooks that are gone; a part at a time."""
    with store.read() as session:
        ended_before = store.now(session) - age_seconds
    ended = sa.and_(
        WebhookDelivery.state != DeliveryState.PENDING, sa.func.coalesce(WebhookDelivery.last_at, WebhookDelivery.created_at) < ended_before
    )
    orphaned = ~sa.exists().where(Webhook.id == WebhookDelivery.webhook_id)
    some = sa.select(WebhookDelivery.id).where(sa.or_(ended, orphaned)).limit(REMOVED_ROWS)
    left = True
    while left:
        with store.write() as session:
            removed = sa.delete(WebhookDelivery).where(WebhookDelivery.id.in_(some)).returning(WebhookDelivery.id)
            left = len(session.scalars(removed).all()) == REMOVED_ROWS


def _event(type: str, data: Mapping[str, Any]) -> EventType | None:
    """What webhooks call an event of a job; None where they are not told of it."""
    if type != "state":
        return None
    if data["state"] == State.RUNNING:
        return EventType.JOB_STARTED if data.get("slice") == 1 else None
    return _OF_STATE.get(data["state"])


def _hears(webhook: sa.Row[Any], event: EventType) -> bool:
    return event in webhook.events and all(
        name in webhook.job_tags and webhook.job_tags[name] == value for name, value in webhook.tags.items()
    )


def _new(webhook_id: str, tenant_id: str, job_id: str | None, type: str, body: str, now: float) -> dict[str, Any]:
    named = {"id": new_id("msg"), "webhook_id": webhook_id, "tenant_id": tenant_id, "job_id": job_id, "type": type, "body": body}
    return {**named, "state": DeliveryState.PENDING, "attempts": 0, "created_at": now, "next_at": now}


def _encoded(type: str, at: float, data: Mapping[str, Any]) -> str:
    """The body: what the specification asks for, so that any library for it can read it."""
    return json.dumps({"type": type, "timestamp": iso_time(at), "data": data}, separators=(",", ":"))


def _essentials(job: Any, snapshots: Sequence[Any]) -> dict[str, Any]:
    """What is told of a job: its name and how far it came, nothing of its data, weights or keys."""
    measured = {which: _measured(one) for one in snapshots for which in ("best", "last") if getattr(one, which)}
    return {
        "id": job.id,
        "kind": job.kind,
        "name": job.name,
        "tags": job.tags,
        "tenant": job.tenant_id,
        "dataset": job.dataset_id,
        "state": job.state,
        "reason": None if job.reason_code is None else {"code": job.reason_code, "message": job.reason_message or ""},
        "created_at": iso_time(job.created_at),
        "started_at": None if job.started_at is None else iso_time(job.started_at),
        "finished_at": None if job.finished_at is None else iso_time(job.finished_at),
        "step": job.step,
        "steps": job.steps,
        "epoch": job.epoch,
        "epochs": job.epochs,
        "trained_seconds": round(job.trained_seconds, 3),
        "result": {"best": None, "last": None, **measured} if measured else None,
        "links": {"self": f"/v1/jobs/{job.id}", **({"weights": f"/v1/jobs/{job.id}/weights"} if measured else {})},
    }


def _measured(snapshot: Any) -> dict[str, Any]:
    told = {name: snapshot.values.get(name) for name in ("loss", "validation_loss")}
    return {"step": snapshot.step, "epoch": snapshot.epoch, **told, "metrics": snapshot.values.get("metrics") or {}}


def _claim(store: Store, chosen: Mapping[str, float], lost_after_seconds: float) -> list[Outgoing]:
    """Those of the chosen that no other process has claimed meanwhile. Rows that are locked are left to whoever has them."""
    with store.write() as session:
        now = store.now(session)
        found = sa.select(WebhookDelivery, Webhook).join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        found = found.where(WebhookDelivery.id.in_(chosen), WebhookDelivery.state == DeliveryState.PENDING, Webhook.enabled)
        if not store.is_sqlite:
            found = found.with_for_update(of=WebhookDelivery, skip_locked=True)
        taken = {}
        for row, webhook in session.execute(found):
            if row.next_at != chosen[row.id]:
                continue
            row.attempts += 1
            row.next_at = now + lost_after_seconds
            former = (secret for secret, until in webhook.former_secrets if until > now)
            secrets = (webhook.secret, *former)
            failing = webhook.failing_since is not None
            taken[row.id] = Outgoing(row.id, row.webhook_id, row.tenant_id, row.attempts, webhook.url, secrets, row.body, failing)
        return [taken[delivery_id] for delivery_id in chosen if delivery_id in taken]
