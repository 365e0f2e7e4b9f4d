"""/v1/models/{model}/aliases: words such as `production` that stand for a version, moved only by who knows what they stand for."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.keys import BODY_FAULTS
from service.api.openapi import blueprint, header_parameter, json_answer, json_body, reads_headers, refusals
from service.api.parameters import AliasPath, Page
from service.api.preconditions import IF_MATCH, REFUSED, must_be_sent, must_match
from service.api.problems import Refusal
from service.store import model_aliases as stored
from service.store.errors import AliasMoved, NotFound
from service.store.models import ModelAlias, ModelAliasMove

resource = blueprint("aliases", "Words that stand for a version of a model.", "/v1/models")

MOVE = {"first": ("The first version", {"version": 1})}
NO_ALIAS = "There is no such model, or the model has no such alias."
TAG = {"ETag": "Its revision, in quotes."}
IF_MATCH_OR_NEW = header_parameter("If-Match", 'The `revision` of an alias that is there, in quotes, "3"; or * for any.')
IF_NONE_MATCH = header_parameter("If-None-Match", "`*` makes an alias that is not there yet; in place of `If-Match`.")


class AliasDocument(BaseModel):
    """An alias of a model."""

    model_config = ConfigDict(extra="forbid", title="ModelAlias")

    model: str
    alias: str
    version: int
    revision: int = Field(description="Raised by every move.")
    moved_at: str


class AliasMove(BaseModel):
    """What an alias stood for from a time on."""

    model_config = ConfigDict(extra="forbid")

    revision: int
    version: int | None = Field(description="Null: it was deleted.")
    at: str
    key: str | None = Field(description="The id of the key that it was moved with.")


class AliasHistory(BaseModel):
    """What an alias stood for, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[AliasMove]
    next_cursor: int | None


class AliasBody(BaseModel):
    """What an alias is to stand for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = Field(ge=1, le=2**53)


class AliasDeleted(BaseModel):
    """What was deleted."""

    model_config = ConfigDict(extra="forbid")

    model: str
    alias: str


class AliasesQuery(Page):
    cursor: int | None = Field(None, ge=1, le=2**53, description="`next_cursor` of the page before.")


@resource.get("/<model>/aliases/<alias>", responses={200: json_answer(AliasDocument, "The alias.", headers=TAG), **refusals(_404=NO_ALIAS)})
@needs("read")
def get_model_alias(path: AliasPath) -> Response:
    """Say what an alias stands for, and its revision, which a move has to name."""
    return _shown(_there(path), 200)


@resource.put(
    "/<model>/aliases/<alias>",
    request_body=json_body(AliasBody, MOVE),
    responses={
        200: json_answer(AliasDocument, "The alias as it is now.", headers=TAG),
        201: json_answer(AliasDocument, "The alias; it is new.", headers=TAG),
        **refusals(_404="There is no such model, version or alias.", **REFUSED, **BODY_FAULTS),
    },
)
@reads_headers(IF_MATCH_OR_NEW, IF_NONE_MATCH)
@needs("write")
def move_model_alias(path: AliasPath, body: AliasBody) -> Response:
    """Let an alias stand for a version: `production` for version 3.

    A new one is made with `If-None-Match: *`. One that is there is moved with its revision in `If-Match`, so that of two who move it at
    once one is told (412). What it stood for before is kept in its `history`; a version is withdrawn by moving it back there.
    """
    here, owner = context(), tenant_id()
    is_new = request.headers.get("If-None-Match", "").strip() == "*"
    if is_new and "If-Match" in request.headers:
        detail = "If-None-Match: * and If-Match never hold both: send the first to make the alias, the second to move it."
        raise Refusal(412, "precondition_failed", detail)
    if not is_new:
        must_be_sent()
    while True:
        found = stored.get(here.store, owner, path.model, path.alias)
        if is_new:
            if found is not None:
                detail = f"The alias {path.alias} is there already; its revision is {found.revision}. Move it with If-Match."
                raise Refusal(412, "precondition_failed", detail, revision=found.revision)
        elif found is None:
            raise Refusal(404, "not_found", f"The model {path.model} has no alias {path.alias}. If-None-Match: * makes it.")
        else:
            must_match(f"The alias {path.alias}", found.revision)
        try:
            moved = stored.move(here.store, owner, path.model, path.alias, body.version, revision=None if found is None else found.revision)
        except AliasMoved:
            continue  # look whether the condition still holds
        return _shown(moved, 201 if found is None else 200)


@resource.delete(
    "/<model>/aliases/<alias>", responses={200: json_answer(AliasDeleted, "What was deleted."), **refusals(_404=NO_ALIAS, **REFUSED)}
)
@reads_headers(IF_MATCH)
@needs("write")
def delete_model_alias(path: AliasPath) -> Response:
    """Let an alias stand for nothing any more. Its history is kept."""
    must_be_sent()
    here, owner = context(), tenant_id()
    while True:
        found = _there(path)
        must_match(f"The alias {path.alias}", found.revision)
        try:
            stored.move(here.store, owner, path.model, path.alias, None, revision=found.revision)
        except AliasMoved:
            continue
        return answer(encode({"model": path.model, "alias": path.alias}))


@resource.get("/<model>/aliases/<alias>/history", responses={200: json_answer(AliasHistory, "The history."), **refusals(_404=NO_ALIAS)})
@needs("read")
def get_model_alias_history(path: AliasPath, query: AliasesQuery) -> Response:
    """List what an alias stood for, since when, and who moved it, newest first; also of one that was deleted."""
    found = stored.moves(context().store, tenant_id(), path.model, path.alias, limit=query.limit + 1, before=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].revision if len(found) > query.limit else None
    return answer(encode({"data": [_move(each) for each in shown], "next_cursor": cursor}))


def _there(path: AliasPath) -> ModelAlias:
    found = stored.get(context().store, tenant_id(), path.model, path.alias)
    if found is None:
        raise NotFound("alias", f"{path.model}@{path.alias}")
    return found


def _shown(alias: ModelAlias, status: int) -> Response:
    body = {
        "model": alias.model,
        "alias": alias.alias,
        "version": alias.version,
        "revision": alias.revision,
        "moved_at": iso_time(alias.moved_at),
    }
    return answer(encode(body), status, ETag=f'"{alias.revision}"')


def _move(move: ModelAliasMove) -> dict[str, Any]:
    return {"revision": move.revision, "version": move.version, "at": iso_time(move.at), "key": move.key_id}
