"""/v1/cross_validations: one training for each of several folds, as one request with one summary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from flask import Response, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from nncore.errors import Fault, InvalidSpec
from nncore.faults import MAX_FAULTS
from nncore.spec import ResolvedSpec, read_spec, resolve
from nncore.spec.training import Fold
from service.api import idempotency
from service.api.access_log import about
from service.api.answers import answer, encode, etag
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.cross_validation_document import CrossValidationDocument, CrossValidationOverview, document, overview
from service.api.datasets import Purged
from service.api.examples import CROSS_VALIDATIONS
from service.api.jobs import Asked, JobBody, judged, limits, new_job, values_of
from service.api.long_poll import IF_NONE_MATCH, PREFER, answered
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import CrossValidationPath, Page, cursor
from service.store import cross_validations as stored
from service.store import deletion, job_changes, quotas
from service.store import idempotency as keys
from service.store.job_filter import JobFilter
from service.store.states import Action

resource = blueprint("cross_validations", "One training for each of several folds, and what they say together.", "/v1/cross_validations")

MOST_FOLDS = 20
NONE_THERE = "There is no such cross-validation."
HEADERS = {"Location": "Where the cross-validation is.", "ETag": "The sha256 of this answer."}


def _left_out(given: Any) -> Any:
    if given is not None:
        raise PydanticCustomError("not_of_folds", "the folds of a cross-validation stand in its place; leave it out")
    return given


LeftOut = Annotated[None, BeforeValidator(_left_out)]
IN_ITS_PLACE = "The folds stand in its place: it is left out, or null."


class CrossValidationBody(JobBody):
    """A training that is done once for each of several folds, and the dataset it is for. All folds have the same seed."""

    model_config = ConfigDict(json_schema_extra=None)

    folds: int = Field(5, ge=2, le=MOST_FOLDS, description="Into how many the rows that no test takes are dealt; each is held out once.")
    fold: LeftOut = Field(None, description=IN_ITS_PLACE)
    validation: LeftOut = Field(None, description=IN_ITS_PLACE)
    split_column: LeftOut = Field(None, description=IN_ITS_PLACE)
    parent: LeftOut = Field(None, description="A fold goes on from nothing: it is left out, or null.")


class CrossValidationList(BaseModel):
    """A page of cross-validations, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[CrossValidationOverview]
    next_cursor: str | None


class CrossValidationsQuery(Page):
    cursor: str | None = cursor("cross-validation")


@resource.post(
    "",
    request_body=json_body(CrossValidationBody, CROSS_VALIDATIONS),
    responses={
        202: json_answer(CrossValidationDocument, "The cross-validation; all its jobs are queued.", headers=HEADERS),
        **refusals(
            _400="The body is not JSON.",
            _404="There is no such dataset, and that is all that is wrong.",
            _413="The body is larger than the server takes.",
            _415="The body is not application/json.",
            _422="Something in the spec is wrong: `errors` names every fault.",
            _507="No room left.",
        ),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_cross_validation() -> Response:
    """Queue a training for each of several folds.

    The body is that of POST /v1/jobs, with `folds` in place of what else would divide the rows; a `test` is kept out of all folds. Every
    fold is checked and resolved before any is accepted, and all of them are queued or none. They have the same seed, drawn where none is
    given: so the folds are disjoint and hold every row once, and so the same seed gives the same result. Each is an ordinary job, which
    can be watched, paused and used as any is, and says in `cross_validation` what it belongs to.
    """
    here = context()
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    made = once and keys.earlier(here.store, tenant_id(), once)
    if not made:
        asked, specs = _resolved(here, request.get_json())
        quotas.room_is_left(here.store, tenant_id())
        folds = [new_job(asked, spec) for spec in specs]
        made = stored.create(here.store, folds, answer=lambda detail: encode(document(detail)), once=once)
        about(dataset_id=asked.body.dataset)
    about(cross_validation_id=made.id)
    here.waker.wake()
    return idempotency.created(made, 202, f"/v1/cross_validations/{made.id}")


@resource.get("", responses={200: json_answer(CrossValidationList, "A page of cross-validations.")})
@needs("read")
def list_cross_validations(query: CrossValidationsQuery) -> Response:
    """List the cross-validations, newest first; each by itself tells its jobs and its summary."""
    found = stored.page(context().store, tenant_id(), limit=query.limit + 1, before=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].row.id if len(found) > query.limit else None
    return answer(encode({"data": [overview(each) for each in shown], "next_cursor": cursor}))


@resource.get(
    "/<cross_validation_id>",
    responses={
        200: json_answer(CrossValidationDocument, "The cross-validation.", headers={"ETag": HEADERS["ETag"]}),
        304: {"description": "The cross-validation is what `If-None-Match` says."},
        **refusals(_404=NONE_THERE),
    },
)
@reads_headers(IF_NONE_MATCH, PREFER)
@needs("read")
def get_cross_validation(path: CrossValidationPath) -> Response:
    """Read what the folds say together, or wait for it to change, as for a job.

    Only folds with a result count in `summary`, which says how many they are. Folds that were deleted are `deleted`.
    """
    here, owner = context(), tenant_id()

    def read() -> tuple[bytes, str, bool]:
        shown = document(stored.get(here.store, owner, path.cross_validation_id))
        body = encode(shown)
        return body, etag(body), shown["terminal"]

    return answered(here.streams, read)


@resource.post(
    "/<cross_validation_id>/cancel",
    responses={
        200: json_answer(CrossValidationDocument, "All of it had ended, or was being cancelled.", headers={"ETag": HEADERS["ETag"]}),
        202: json_answer(CrossValidationDocument, "The cross-validation; workers do what is asked within seconds.", headers=HEADERS),
        **refusals(_404=NONE_THERE),
    },
)
@needs("write")
def cancel_cross_validation(path: CrossValidationPath) -> Response:
    """End every fold that has not ended, and drop what it learned; what others have found stays."""
    here, owner = context(), tenant_id()
    stored.get(here.store, owner, path.cross_validation_id)
    chosen = JobFilter(cross_validation_id=path.cross_validation_id)
    changed, _ = job_changes.request_all(here.store, owner, Action.CANCEL, chosen, MOST_FOLDS)
    body = encode(document(stored.get(here.store, owner, path.cross_validation_id)))
    return answer(body, 202 if changed else 200, ETag=etag(body), Location=f"/v1/cross_validations/{path.cross_validation_id}")


@resource.delete(
    "/<cross_validation_id>",
    responses={
        200: json_answer(Purged, "What was freed."),
        **refusals(
            _404=NONE_THERE,
            _409="A fold has not ended (`illegal_action`): cancel it first. Or a job goes on from one of its jobs, or a version of a model "
            "came from it (`job_in_use`): delete that first.",
        ),
    },
)
@needs("write")
def delete_cross_validation(path: CrossValidationPath) -> Response:
    """Delete a cross-validation that has ended and all its jobs, for good, and say how many bytes that frees."""
    freed_bytes = deletion.delete_cross_validation(context().store, tenant_id(), path.cross_validation_id)
    return answer(encode({"id": path.cross_validation_id, "freed_bytes": freed_bytes}))


def _resolved(here: Context, sent: dict[str, Any]) -> tuple[Asked, list[ResolvedSpec]]:
    """What a body asks for, and the spec of every fold; nothing is written.

    Raises InvalidSpec with all faults, those of the folds but once; Refusal (404) where the dataset is all that is wrong.
    """
    body, unread, faults = read_spec(CrossValidationBody, sent, dataset="")
    try:
        unread |= {"fold"} if "folds" in unread else set()
        asked = judged(here, body.model_copy(update={"fold": Fold(of=body.folds, number=0)}), unread, faults)
    except InvalidSpec as refused:
        raise InvalidSpec(_of_folds(refused.faults)) from None
    specs, found = [asked.spec], list[Fault]()
    values = partial(values_of, asked.column)
    for number in range(1, body.folds):
        fold = {"seed": asked.spec.seed, "fold": Fold(of=body.folds, number=number)}
        try:
            specs.append(resolve(body.model_copy(update=fold), asked.columns, asked.dataset.rows, limits(here.settings), values=values))
        except InvalidSpec as refused:  # one that holds out more rows, or others, than the first
            found += refused.faults
    if found:
        raise InvalidSpec(_of_folds(found))
    return asked, specs


def _of_folds(faults: Sequence[Fault]) -> list[Fault]:
    """The faults as they point into the body, each kind of fault but once at a place."""
    found: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        pointer = "/folds" if fault.pointer.startswith("/fold/") else fault.pointer
        found.setdefault((pointer, fault.code), replace(fault, pointer=pointer))
    return list(found.values())[:MAX_FAULTS]
