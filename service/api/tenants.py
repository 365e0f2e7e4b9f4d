"""/v1/tenants: who shares this service, and how much each may have of it."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from service.api import idempotency
from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, reach, tenant_id
from service.api.context import context
from service.api.keys import BODY_FAULTS
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import TENANT, Parameters, TenantPath
from service.api.problems import Refusal
from service.api.quotas import Quotas
from service.api.uploads import Name
from service.store import quotas
from service.store import tenants as stored
from service.store.errors import NotFound
from service.store.models import Tenant

resource = blueprint("tenants", "Who shares this service, and how much each may have of it.", "/v1/tenants")

CREATE = {
    "limited": (
        "A customer with limits",
        {
            "id": "acme",
            "name": "Acme Inc.",
            "quotas": {"queued_jobs": 100, "running_jobs": 2, "stored_bytes": 10_000_000_000, "requests_per_minute": 6000},
        },
    ),
}
CHANGE = {
    "longer": ("An hour of training a day, and no limit on the queue", {"quotas": {"worker_seconds_per_day": 3600, "queued_jobs": None}})
}
NOT_OPERATOR = "Only an admin key of the tenant `default`, the operator's, may do this."


class TenantDocument(BaseModel):
    """A tenant."""

    model_config = ConfigDict(extra="forbid", title="Tenant")

    id: str
    name: str
    created_at: str
    quotas: Quotas


class TenantList(BaseModel):
    """A page of tenants, by their ids."""

    model_config = ConfigDict(extra="forbid")

    data: list[TenantDocument]
    next_cursor: str | None


class TenantBody(BaseModel):
    """A tenant to be added."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(pattern=TENANT, description="How it is called in addresses and logs; it stays.")
    name: Name | None = Field(None, description="What people call it; default: its id.")
    quotas: Quotas = Field(default_factory=Quotas, description="What is left out is not limited.")


class TenantChange(BaseModel):
    """What is to be changed; all else stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = None
    quotas: Quotas = Field(default_factory=Quotas, description="What is left out stays; null is no limit.")


class TenantsQuery(Parameters):
    cursor: str | None = Field(None, pattern=TENANT, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="Most elements of the page.")


@resource.post(
    "",
    request_body=json_body(TenantBody, CREATE),
    responses={
        201: json_answer(TenantDocument, "The tenant.", headers={"Location": "Where it is.", "ETag": "The sha256 of this answer."}),
        **refusals(_409="There is one with this id.", **BODY_FAULTS),
    },
)
@reads_headers(idempotency.HEADER)
@needs("admin")
def create_tenant(body: TenantBody) -> Response:
    """Add a tenant. For the operator: an admin key of the tenant `default`.

    What one tenant has, no other sees. `POST /v1/keys` with its id makes its first key.
    """
    _operator()
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    made = stored.create(
        context().store,
        body.id,
        body.name or body.id,
        body.quotas.named(),
        owner=tenant_id(),
        answer=lambda tenant: encode(document(tenant)),
        once=once,
    )
    return idempotency.created(made, 201, f"/v1/tenants/{made.id}")


@resource.get("", responses={200: json_answer(TenantList, "A page of tenants.")})
@needs("admin")
def list_tenants(query: TenantsQuery) -> Response:
    """List the tenants by their ids; whoever is not the operator sees its own."""
    found = stored.page(context().store, reach(), limit=query.limit + 1, after=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].id if len(found) > query.limit else None
    return answer(encode({"data": [document(tenant) for tenant in shown], "next_cursor": cursor}))


@resource.get("/<tenant_id>", responses={200: json_answer(TenantDocument, "The tenant."), **refusals(_404="There is no such tenant.")})
@needs("admin")
def get_tenant(path: TenantPath) -> Response:
    """Describe a tenant and its quotas. `GET /v1/usage` says what is used of them."""
    _in_reach(path.tenant_id)
    return answer(encode(document(stored.get(context().store, path.tenant_id))))


@resource.patch(
    "/<tenant_id>",
    request_body=json_body(TenantChange, CHANGE),
    responses={200: json_answer(TenantDocument, "The tenant as it is now."), **refusals(_404="There is no such tenant.", **BODY_FAULTS)},
)
@needs("admin")
def change_tenant(path: TenantPath, body: TenantChange) -> Response:
    """Change the name or the quotas of a tenant. For the operator: an admin key of the tenant `default`.

    What is left out stays, null takes a limit away. A limit below what is used takes nothing away: no more is accepted. Processes of the
    service go by another number of requests a minute within 5 seconds.
    """
    here = context()
    _in_reach(path.tenant_id)
    _operator()
    tenant = stored.change(here.store, path.tenant_id, name=body.name, limits=body.quotas.named())
    here.identities.forget()
    here.waker.wake()  # jobs that a quota held back may go on
    return answer(encode(document(tenant)))


def document(tenant: Tenant) -> dict[str, Any]:
    """The tenant as the API shows it."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "created_at": iso_time(tenant.created_at),
        "quotas": {str(quota): limit for quota, limit in quotas.limits_of(tenant).items()},
    }


def _operator() -> None:
    if reach() is not None:
        raise Refusal(403, "not_operator", NOT_OPERATOR)


def _in_reach(tenant: str) -> None:
    if reach() not in (None, tenant):
        raise NotFound("tenant", tenant)
