"""/v1/webhooks/{id}/deliveries: what was sent to a webhook, what is to be sent, and sending something again."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from service.api import idempotency
from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.openapi import json_answer, reads_headers, refusals
from service.api.parameters import DeliveryPath, Page, WebhookPath, cursor
from service.api.webhooks import NO_WEBHOOK, resource
from service.store import deliveries as stored
from service.store import webhooks
from service.store.deliveries import DeliveryState
from service.store.models import WebhookDelivery

DISABLED = "The webhook is disabled."


class DeliveryDocument(BaseModel):
    """Something that a webhook is told."""

    model_config = ConfigDict(extra="forbid", title="Delivery")

    id: str = Field(description="The `webhook-id` of every attempt: by it a receiver knows what it has had before.")
    webhook: str
    type: str = Field(description="job.succeeded, ..., or webhook.test.")
    job: str | None
    state: DeliveryState = Field(description="pending: it is sent, now or later. failed: it is not sent any more.")
    attempts: int
    created_at: str
    next_attempt_at: str | None = Field(description="While it is pending; of one that is being sent, when it is sent again if this fails.")
    last_attempt_at: str | None
    status: int | None = Field(description="What the last attempt was answered.")
    error: str | None = Field(description="Why the last attempt failed.")
    payload: dict[str, Any] = Field(description="The body that is sent.")


class DeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[DeliveryDocument]
    next_cursor: str | None


class DeliveriesQuery(Page):
    cursor: str | None = cursor("delivery")
    state: DeliveryState | None = Field(None, description="Only deliveries in this state.")


@resource.post(
    "/<webhook_id>/test",
    responses={
        202: json_answer(DeliveryDocument, "What will be sent.", headers={"Location": "Where the webhook's deliveries are."}),
        **refusals(_404=NO_WEBHOOK, _409=DISABLED),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def test_webhook(path: WebhookPath) -> Response:
    """Send a delivery of the type `webhook.test`, as any other is sent; the list of deliveries says what became of it."""
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    made = webhooks.send_test(context().store, tenant_id(), path.webhook_id, answer=lambda row: encode(document(row)), once=once)
    response = idempotency.created(made, 202, f"/v1/webhooks/{path.webhook_id}/deliveries")
    del response.headers["ETag"]
    return response


@resource.get("/<webhook_id>/deliveries", responses={200: json_answer(DeliveryList, "A page of deliveries."), **refusals(_404=NO_WEBHOOK)})
@needs("read")
def list_webhook_deliveries(path: WebhookPath, query: DeliveriesQuery) -> Response:
    """List what was sent to a webhook and what is to be sent, newest first, each with what became of its last attempt."""
    found = stored.page(context().store, tenant_id(), path.webhook_id, limit=query.limit + 1, before=query.cursor, state=query.state)
    shown = found[: query.limit]
    cursor = shown[-1].id if len(found) > query.limit else None
    return answer(encode({"data": [document(one) for one in shown], "next_cursor": cursor}))


@resource.post(
    "/<webhook_id>/deliveries/<delivery_id>/redeliver",
    responses={202: json_answer(DeliveryDocument, "The delivery."), **refusals(_404="There is no such delivery.", _409=DISABLED)},
)
@needs("write")
def redeliver_webhook_delivery(path: DeliveryPath) -> Response:
    """Send a delivery again, now, whatever became of it before; with the same `webhook-id` and the same body."""
    return answer(encode(document(stored.redeliver(context().store, tenant_id(), path.webhook_id, path.delivery_id))), 202)


def document(delivery: WebhookDelivery) -> dict[str, Any]:
    """The delivery as the API shows it."""
    return {
        "id": delivery.id,
        "webhook": delivery.webhook_id,
        "type": delivery.type,
        "job": delivery.job_id,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": iso_time(delivery.created_at),
        "next_attempt_at": iso_time(delivery.next_at),
        "last_attempt_at": iso_time(delivery.last_at),
        "status": delivery.status,
        "error": delivery.error,
        "payload": orjson.loads(delivery.body),
    }
