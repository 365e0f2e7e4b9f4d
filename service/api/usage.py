"""/v1/usage: how much of its quotas a tenant has used, and who the sender of the request is."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import identity, needs, reach
from service.api.context import context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import TENANT, Parameters
from service.store import quotas
from service.store.errors import NotFound
from service.store.quotas import Use

resource = blueprint("usage", "What is used of what may be used.", "/v1/usage")


class UseDocument(BaseModel):
    """How much of one quota is used."""

    model_config = ConfigDict(extra="forbid", title="Use")

    limit: int | None = Field(description="null: there is no limit.")
    used: float
    remaining: float | None = Field(description="null: there is no limit.")
    resets_at: str | None = Field(description="When all of it is free again, where time does that.")


class QuotaUse(BaseModel):
    """Every quota whose use is counted. `parameters` limits each network by itself, `requests_per_minute` each minute."""

    model_config = ConfigDict(extra="forbid")

    queued_jobs: UseDocument
    running_jobs: UseDocument
    stored_bytes: UseDocument
    worker_seconds_per_day: UseDocument


class Sender(BaseModel):
    """The key that the request came with."""

    model_config = ConfigDict(extra="forbid")

    id: str
    tenant: str
    scopes: list[str]
    requests_per_minute: int | None
    tenant_requests_per_minute: int | None


class Usage(BaseModel):
    """What a tenant has used."""

    model_config = ConfigDict(extra="forbid")

    tenant: str
    quotas: QuotaUse
    key: Sender = Field(description="Who asks.")


class UsageQuery(Parameters):
    tenant: str | None = Field(None, pattern=TENANT, description="Of this tenant, for an admin key of the operator; else of your own.")


@resource.get("", responses={200: json_answer(Usage, "What is used."), **refusals(_404="There is no such tenant, or it is not yours.")})
@needs("read")
def get_usage(query: UsageQuery) -> Response:
    """Say how much of each quota is used, and which key asks."""
    sender = identity()
    tenant_id = query.tenant or sender.tenant_id
    if tenant_id != sender.tenant_id and (reach() is not None or "admin" not in sender.scopes):
        raise NotFound("tenant", tenant_id)
    document = {
        "tenant": tenant_id,
        "quotas": {str(quota): _document(used) for quota, used in quotas.use(context().store, tenant_id).items()},
        "key": {
            "id": sender.key_id,
            "tenant": sender.tenant_id,
            "scopes": sorted(sender.scopes),
            "requests_per_minute": sender.key_requests_per_minute,
            "tenant_requests_per_minute": sender.tenant_requests_per_minute,
        },
    }
    return answer(encode(document), Cache_Control="no-store")


def _document(use: Use) -> dict[str, Any]:
    used = round(use.used, 3)
    remaining = None if use.limit is None else max(0, use.limit - used)
    return {"limit": use.limit, "used": used, "remaining": remaining, "resets_at": iso_time(use.resets_at)}
