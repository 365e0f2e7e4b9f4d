"""/v1/webhooks: addresses that are told when a job starts or ends."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import orjson
from flask import Response, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nncore.errors import Fault
from service import receivers
from service.api import idempotency
from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.jobs import MOST_TAGS, TagName, TagValue, few
from service.api.keys import BODY_FAULTS, LONGEST_SECONDS
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import Page, WebhookPath, cursor
from service.api.problems import invalid
from service.api.uploads import Name
from service.receivers import LONGEST_URL, ForbiddenReceiver
from service.store import webhooks as stored
from service.store.deliveries import EventType
from service.store.idempotency import Created
from service.store.models import Webhook
from service.store.webhooks import NewWebhook

resource = blueprint(
    "webhooks", "Addresses that are told when a job starts or ends, signed as standardwebhooks.com has it.", "/v1/webhooks"
)

OVERLAP_SECONDS = 86400
LOOK_UP_SECONDS = 2.0  # a name that takes longer is looked up when something is sent, which is soon enough
NO_WEBHOOK = "There is no such webhook."
ENDS = [event.value for event in (EventType.JOB_SUCCEEDED, EventType.JOB_FAILED, EventType.JOB_STOPPED, EventType.JOB_CANCELLED)]

CREATE = {
    "ends": ("Told of every job that ends", {"url": "https://example.com/sankofa"}),
    "tagged": (
        "Told when jobs of a lesson succeed or fail",
        {"url": "https://example.com/sankofa", "name": "lessons", "events": ["job.succeeded", "job.failed"], "tags": {"lesson": 1}},
    ),
}
CHANGE = {"off": ("Nothing is sent to it for now", {"enabled": False})}
ROTATE = {"a_day": ("The old secret signs beside the new one for a day", {"overlap_seconds": 86400})}

_looking_up = ThreadPoolExecutor(4, "look-up")

Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
Events = Annotated[list[EventType], Field(min_length=1, max_length=len(EventType))]
Tags = Annotated[dict[TagName, TagValue], BeforeValidator(few), Field(max_length=MOST_TAGS)]


class WebhookDocument(BaseModel):
    """A webhook. Its secret is shown when it is made and when it is rotated."""

    model_config = ConfigDict(extra="forbid", title="Webhook")

    id: str
    name: str | None
    url: str
    events: list[EventType]
    tags: dict[str, Any] = Field(description="Only jobs with all of these tags.")
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None = Field(
        description="Why the service disabled it: its receiver answered 410, or took nothing for three days."
    )
    failing_since: str | None = Field(description="No delivery has succeeded since.")
    created_at: str


class NewWebhookDocument(WebhookDocument):
    """A webhook, and for this once its secret."""

    model_config = ConfigDict(extra="forbid", title="NewWebhook")

    secret: str | None = Field(description="What its deliveries are signed with, `whsec_...`. null in a replayed answer: rotate it.")


class WebhookList(BaseModel):
    """A page of webhooks, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[WebhookDocument]
    next_cursor: str | None


class WebhookBody(BaseModel):
    """A webhook to be made."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(description="Where deliveries are POSTed: https, at a public address.")
    name: Name | None = Field(None, description="What it is for.")
    events: Events = Field(default_factory=lambda: [EventType(event) for event in ENDS], description="Default: every end of a job.")
    tags: Tags = Field(default_factory=dict, description="Only jobs with all of these tags.")
    enabled: bool = Field(True, strict=True)


def _without_default(schema: dict[str, Any]) -> None:
    """What is left out stays: a maker of clients that knows of a default would send it."""
    schema.pop("default", None)


class WebhookChange(BaseModel):
    """What is to be changed; all else stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field("", json_schema_extra=_without_default, description="Another address.")
    name: Name | None = Field(None, json_schema_extra=_without_default, description="Null takes it away.")
    events: Events = Field(default_factory=list, description="All of them; those that are left out are gone.")
    tags: Tags = Field(default_factory=dict, description="All of them; those that are left out are gone.")
    enabled: bool = Field(
        True, strict=True, json_schema_extra=_without_default, description="false: what waits is dropped, and nothing more is recorded."
    )


class RotateSecretBody(BaseModel):
    """How a secret is replaced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: int = Field(OVERLAP_SECONDS, ge=0, le=LONGEST_SECONDS, description="How long the old secret signs beside the new one.")


class WebhooksQuery(Page):
    cursor: str | None = cursor("webhook")


MADE = {"Location": "Where the webhook is described."}


@resource.post(
    "",
    request_body=json_body(WebhookBody, CREATE),
    responses={
        201: json_answer(NewWebhookDocument, "The webhook.", headers=MADE),
        **refusals(_409="There are as many webhooks as there may be.", **BODY_FAULTS),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_webhook(body: WebhookBody) -> Response:
    """Make a webhook: from now on its address is told of jobs.

    `secret` in the answer is shown this once; with it the receiver verifies `webhook-signature` (`sankofa.verify_webhook`, or any library
    for Standard Webhooks). A delivery is recorded with the event that it tells of and sent at least once, always with the same
    `webhook-id`. Addresses that are not public are refused.
    """
    _check(body.url)
    new = NewWebhook(tenant_id(), body.url, body.events, body.name, body.tags, body.enabled)
    made = stored.create(context().store, new, answer=_encoded, once=_once())
    return _made(201, *made)


@resource.get("", responses={200: json_answer(WebhookList, "A page of webhooks.")})
@needs("read")
def list_webhooks(query: WebhooksQuery) -> Response:
    """List the webhooks, newest first."""
    found = stored.page(context().store, tenant_id(), limit=query.limit + 1, before=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].id if len(found) > query.limit else None
    return answer(encode({"data": [document(one) for one in shown], "next_cursor": cursor}))


@resource.get("/<webhook_id>", responses={200: json_answer(WebhookDocument, "The webhook."), **refusals(_404=NO_WEBHOOK)})
@needs("read")
def get_webhook(path: WebhookPath) -> Response:
    """Describe a webhook: what it is told, and whether it takes it."""
    return answer(encode(document(stored.get(context().store, tenant_id(), path.webhook_id))))


@resource.patch(
    "/<webhook_id>",
    request_body=json_body(WebhookChange, CHANGE),
    responses={200: json_answer(WebhookDocument, "The webhook as it is now."), **refusals(_404=NO_WEBHOOK, **BODY_FAULTS)},
)
@needs("write")
def change_webhook(path: WebhookPath, body: WebhookChange) -> Response:
    """Change what is named of a webhook: name, url, events, tags, enabled.

    Deliveries that wait go to the new address. What happens while it is disabled is not told later.
    """
    if "url" in body.model_fields_set:
        _check(body.url)
    values = {name: getattr(body, name) for name in body.model_fields_set}
    return answer(encode(document(stored.change(context().store, tenant_id(), path.webhook_id, values))))


@resource.delete("/<webhook_id>", responses={204: {"description": "It is gone, and its deliveries with it."}, **refusals(_404=NO_WEBHOOK)})
@needs("write")
def delete_webhook(path: WebhookPath) -> Response:
    """Delete a webhook and its deliveries, also those that wait."""
    stored.delete(context().store, tenant_id(), path.webhook_id)
    return Response(status=204)


@resource.post(
    "/<webhook_id>/rotate",
    request_body=json_body(RotateSecretBody, ROTATE),
    responses={200: json_answer(NewWebhookDocument, "The webhook and its new secret."), **refusals(_404=NO_WEBHOOK, **BODY_FAULTS)},
)
@reads_headers(idempotency.HEADER)
@needs("write")
def rotate_webhook(path: WebhookPath, body: RotateSecretBody) -> Response:
    """Give a webhook a new secret.

    For `overlap_seconds` its deliveries carry a signature of each, so that the receiver can be given the new one without a gap.
    """
    made = stored.rotate(context().store, tenant_id(), path.webhook_id, overlap_seconds=body.overlap_seconds, answer=_encoded, once=_once())
    return _made(200, *made)


def document(webhook: Webhook) -> dict[str, Any]:
    """The webhook as the API shows it."""
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "tags": webhook.tags,
        "enabled": webhook.enabled,
        "disabled_reason": webhook.disabled_reason,
        "failing_since": iso_time(webhook.failing_since),
        "created_at": iso_time(webhook.created_at),
    }


def _check(url: str) -> None:
    """Refuse an address that a webhook may not have. A name that leads nowhere yet is taken: it is looked up again for every attempt."""
    private = context().settings.webhook_private
    try:
        receiver = receivers.parse(url, private=private)
        _looking_up.submit(receivers.resolve, receiver, private=private).result(LOOK_UP_SECONDS)
    except ForbiddenReceiver as error:
        raise invalid([Fault("/url", "forbidden_receiver", f"url: {error}", "an https URL at a public address", url[:200])]) from None
    except OSError:  # and with it TimeoutError
        return


def _encoded(webhook: Webhook) -> bytes:
    """What a replayed answer shows: all but the secret."""
    return encode({**document(webhook), "secret": None})


def _made(status: int, made: Created, secret: str) -> Response:
    if not made.replayed:
        made = Created(made.id, encode({**orjson.loads(made.answer), "secret": secret}))
    response = idempotency.created(made, status, f"/v1/webhooks/{made.id}")
    response.headers["Cache-Control"] = "no-store"
    del response.headers["ETag"]
    return response


def _once() -> Any:
    return idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
