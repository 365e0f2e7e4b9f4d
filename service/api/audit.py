"""/v1/audit: who did what, through this API."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import narrowed, needs
from service.api.context import context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import TENANT, Page, Time, cursor
from service.store import audit as stored
from service.store.audit import Filter
from service.store.models import AuditLog

resource = blueprint("audit", "Who did what.", "/v1/audit")

WORD = r"^[\x21-\x7e]{1,200}$"


class AuditDocument(BaseModel):
    """Something that was done."""

    model_config = ConfigDict(extra="forbid", title="AuditEntry")

    id: str
    at: str
    tenant: str = Field(description="Whose thing it was done to.")
    key: str = Field(description="The id of the key that it was done with; `service` where the service did it by itself.")
    action: str = Field(description="job.create, job.cancel, dataset.create, model.alias, weights.read, key.rotate, tenant.update, ...")
    target: str = Field(description="The id of what it was done to.")
    request_id: str | None = Field(description="Under this id the server's log knows the request.")
    data: dict[str, Any] = Field(description="What else there is to say; of a change, what was and what is.")


class AuditList(BaseModel):
    """A page of the log, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[AuditDocument]
    next_cursor: str | None


class AuditQuery(Page):
    cursor: str | None = cursor("audit")
    tenant: str | None = Field(None, pattern=TENANT, description="Only what was done to things of this tenant.")
    key: str | None = Field(None, pattern=WORD, description="Only what was done with the key of this id.")
    action: str | None = Field(None, pattern=WORD, description="Only this action.")
    target: str | None = Field(None, pattern=WORD, description="Only what was done to this.")
    since: Time | None = Field(None, description="Not before this time, ISO 8601 with its offset.")
    until: Time | None = Field(None, description="Before this time, ISO 8601 with its offset.")


@resource.get("", responses={200: json_answer(AuditList, "A page of the log."), **refusals(_404="There is no such tenant.")})
@needs("admin")
def list_audit(query: AuditQuery) -> Response:
    """List who did what, newest first; the operator sees what was done for all tenants.

    Every change is written in the transaction that makes it, every fetch of weights when they have been sent. Entries are never
    changed; `GET /v1/retention` says when they are removed.
    """
    wanted = Filter(
        tenant_id=narrowed(query.tenant),
        key_id=query.key,
        action=query.action,
        target=query.target,
        since=query.since.timestamp() if query.since else None,
        until=query.until.timestamp() if query.until else None,
    )
    found = stored.page(context().store, wanted, limit=query.limit + 1, before=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].id if len(found) > query.limit else None
    return answer(encode({"data": [document(entry) for entry in shown], "next_cursor": cursor}))


def document(entry: AuditLog) -> dict[str, Any]:
    """The entry as the API shows it."""
    return {
        "id": entry.id,
        "at": iso_time(entry.at),
        "tenant": entry.tenant_id,
        "key": entry.key_id,
        "action": entry.action,
        "target": entry.target,
        "request_id": entry.request_id,
        "data": entry.data,
    }
