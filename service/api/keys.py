"""/v1/keys: who may send requests, and what each may do."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import orjson
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from service.api import idempotency
from service.api.answers import answer, encode, iso_time
from service.api.authentication import identity, narrowed, needs, reach, tenant_id
from service.api.context import context
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import TENANT, KeyPath, Page, cursor
from service.api.problems import Refusal
from service.api.uploads import Name
from service.store import keys as stored
from service.store.idempotency import Created
from service.store.keys import KeyState, NewKey
from service.store.models import ApiKey

resource = blueprint("keys", "Who may send requests, and what each may do. Needs a key with the scope `admin`.", "/v1/keys")

LONGEST_SECONDS = 10 * 366 * 86400
OVERLAP_SECONDS = 3600
Scope = Literal["read", "write", "admin"]
BODY_FAULTS = {
    "_400": "The body is not JSON.",
    "_413": "The body is larger than the server takes.",
    "_415": "The body is not application/json.",
}

CREATE = {
    "reader": ("For a dashboard: it sees everything of its tenant and changes nothing", {"name": "dashboard", "scopes": ["read"]}),
    "temporary": (
        "For a build that uploads and trains, for a week, 600 requests a minute",
        {"name": "build", "scopes": ["read", "write"], "expires_after_seconds": 604800, "requests_per_minute": 600},
    ),
}
ROTATE = {
    "an_hour": ("The old key ends in an hour", {"overlap_seconds": 3600}),
    "at_once": ("It was leaked: it ends now", {"overlap_seconds": 0}),
}


class KeyDocument(BaseModel):
    """An API key. The key itself is shown once, when it is made, and not kept."""

    model_config = ConfigDict(extra="forbid", title="Key")

    id: str
    name: str
    tenant: str
    scopes: list[Scope]
    state: KeyState
    hint: str | None = Field(description="How the key begins.")
    created_at: str
    expires_at: str | None = Field(description="When it stops opening anything; null: never.")
    last_used_at: str | None = Field(description="Written every five minutes at the most.")
    revoked_at: str | None
    replaces: str | None = Field(description="The key that it was rotated from.")
    requests_per_minute: int | None = Field(description="What this key may send, beside what its tenant may.")


class NewKeyDocument(KeyDocument):
    """An API key, and for this once the key itself."""

    model_config = ConfigDict(extra="forbid", title="NewKey")

    key: str | None = Field(
        description="To be sent as `Authorization: Bearer KEY`. null in a replayed answer: it is kept nowhere; rotate the key."
    )


class KeyList(BaseModel):
    """A page of keys, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[KeyDocument]
    next_cursor: str | None


class KeyBody(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = Field(description="What it is for.")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)] = Field(
        description="read: see. write: upload, train. admin: keys, audit."
    )
    tenant: str | None = Field(None, pattern=TENANT, description="Whose key it is; yours, unless you are the operator.")
    expires_after_seconds: int | None = Field(None, ge=1, le=LONGEST_SECONDS, description="null: it never expires.")
    requests_per_minute: int | None = Field(None, ge=1, le=10_000_000, description="null: no limit but its tenant's.")


class RotateBody(BaseModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: int = Field(OVERLAP_SECONDS, ge=0, le=LONGEST_SECONDS, description="How long the old key goes on opening.")


class KeysQuery(Page):
    cursor: str | None = cursor("key")
    tenant: str | None = Field(None, pattern=TENANT, description="Only keys of this tenant.")
    state: KeyState | None = Field(None, description="Only keys in this state.")


MADE = {"Location": "Where the key is described."}


@resource.post(
    "",
    request_body=json_body(KeyBody, CREATE),
    responses={201: json_answer(NewKeyDocument, "The key.", headers=MADE), **refusals(_404="There is no such tenant.", **BODY_FAULTS)},
)
@reads_headers(idempotency.HEADER)
@needs("admin")
def create_key(body: KeyBody) -> Response:
    """Make an API key.

    `key` in the answer is shown this once: only its sha256 is kept. An admin key of the operator (the tenant `default`) makes keys for
    every tenant, any other for its own.
    """
    new = NewKey(narrowed(body.tenant) or tenant_id(), body.name, body.scopes, body.expires_after_seconds, body.requests_per_minute)
    made = stored.create(context().store, new, owner=tenant_id(), answer=_encoded, once=_once())
    return _made(*made)


@resource.get("", responses={200: json_answer(KeyList, "A page of keys."), **refusals(_404="There is no such tenant.")})
@needs("admin")
def list_keys(query: KeysQuery) -> Response:
    """List the keys, newest first, also those that were revoked or have expired. The operator sees those of all tenants."""
    tenant = narrowed(query.tenant)
    found = stored.page(context().store, tenant, limit=query.limit + 1, before=query.cursor, state=query.state)
    shown = found[: query.limit]
    cursor = shown[-1][0].id if len(found) > query.limit else None
    return answer(encode({"data": [document(*one) for one in shown], "next_cursor": cursor}))


@resource.get("/<key_id>", responses={200: json_answer(KeyDocument, "The key."), **refusals(_404="There is no such key.")})
@needs("admin")
def get_key(path: KeyPath) -> Response:
    """Describe a key: what it may do, when it was last used, when it ends."""
    return answer(encode(document(*stored.get(context().store, reach(), path.key_id))))


@resource.post(
    "/<key_id>/rotate",
    request_body=json_body(RotateBody, ROTATE),
    responses={
        201: json_answer(NewKeyDocument, "The new key.", headers=MADE),
        **refusals(_404="There is no such key.", _409="The key was revoked or has expired.", **BODY_FAULTS),
    },
)
@reads_headers(idempotency.HEADER)
@needs("admin")
def rotate_key(path: KeyPath, body: RotateBody) -> Response:
    """Replace a key by a new one that may do the same.

    The old one goes on opening for `overlap_seconds`, so that whoever uses it can be given the new one without a gap.
    """
    here = context()
    made = stored.rotate(
        here.store,
        reach(),
        path.key_id,
        overlap_seconds=body.overlap_seconds,
        owner=tenant_id(),
        answer=_encoded,
        once=_once(),
    )
    here.identities.forget()
    return _made(*made)


@resource.delete(
    "/<key_id>",
    responses={
        204: {"description": "The key opens nothing any more."},
        **refusals(_404="There is no such key.", _409="It is the key that this request came with."),
    },
)
@needs("admin")
def revoke_key(path: KeyPath) -> Response:
    """End a key for ever. Other processes of the service may let it in for 5 more seconds.

    The key that the request comes with is not ended: so there is always one left that can make others.
    """
    here = context()
    if path.key_id == identity().key_id:
        raise Refusal(409, "own_key", "This is the key that you are using. Revoke it with another admin key, or rotate it.")
    stored.revoke(here.store, reach(), path.key_id)
    here.identities.forget()
    return Response(status=204)


def document(key: ApiKey, state: KeyState) -> dict[str, Any]:
    """The key as the API shows it."""
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant_id,
        "scopes": key.scopes,
        "state": state,
        "hint": key.hint,
        "created_at": iso_time(key.created_at),
        "expires_at": iso_time(key.expires_at),
        "last_used_at": iso_time(key.last_used_at),
        "revoked_at": iso_time(key.revoked_at),
        "replaces": key.replaces,
        "requests_per_minute": key.max_requests_per_minute,
    }


def _encoded(key: ApiKey, now: float) -> bytes:
    """What a replayed answer shows: all but the key itself, which is kept nowhere."""
    return encode({**document(key, stored.state_of(key, now)), "key": None})


def _made(made: Created, secret: str) -> Response:
    if not made.replayed:
        made = Created(made.id, encode({**orjson.loads(made.answer), "key": secret}))
    response = idempotency.created(made, 201, f"/v1/keys/{made.id}")
    response.headers["Cache-Control"] = "no-store"
    del response.headers["ETag"]
    return response


def _once() -> Any:
    return idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
