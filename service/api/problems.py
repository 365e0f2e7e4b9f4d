"""Refusals and faults as RFC 9457 problem documents, whatever went wrong and wherever.

`type` is left at "about:blank", so `title` is the phrase of the status; programs read `code`. A 422 carries every fault at once in
`errors`, each with a JSON pointer into the body (or the name of a query parameter), what was expected and what was got.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from flask import Flask, Response, g, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from nncore.errors import Fault, InvalidData, InvalidSpec
from nncore.faults import MAX_FAULTS
from service.store.errors import (
    AlreadyThere,
    DatasetInUse,
    IdempotencyConflict,
    IllegalAction,
    JobInUse,
    KeyEnded,
    NotFound,
    StorageFull,
    StoreBusy,
    TooMany,
    VersionInUse,
    WebhookDisabled,
    WrongOffset,
)

logger = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
BUSY_SECONDS = 2  # what Retry-After asks for
CODES = {
    400: "bad_request",
    404: "no_such_route",
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
    414: "uri_too_long",
    431: "headers_too_large",
}


class Refusal(Exception):
    """A request that is answered with a problem document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        faults: Iterable[Fault | Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """faults: what is wrong, one by one. members: more members of the document."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = [dict(vars(fault)) if isinstance(fault, Fault) else dict(fault) for fault in faults]
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> Response:
        """The problem document."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": g.get("request_id"),
            **self.members,
        }
        if self.errors:
            document["errors"] = self.errors
        response = Response(orjson.dumps(document, default=str), self.status, content_type=MEDIA_TYPE)
        response.headers.update(self.headers)
        response.headers["Cache-Control"] = "no-store"
        return response


def invalid(faults: Iterable[Fault], prefix: str = "") -> Refusal:
    """422 with all `faults`, their pointers seen from `prefix`."""
    found = [fault.under(prefix) for fault in faults]
    first = "The first " if len(found) >= MAX_FAULTS else ""
    what = found[0].message if len(found) == 1 else f"{first}{len(found)} faults, see errors."
    return Refusal(422, "invalid_request", what, faults=found)


def invalid_parameters(faults: Iterable[Fault]) -> Refusal:
    """422 with all faults of the query; what a fault points at is a parameter."""
    errors = [{"parameter": fault.pointer.split("/")[1], **vars(fault), "pointer": ""} for fault in faults]
    what = "; ".join(
        f"query parameter {'' if error['message'].startswith(error['parameter']) else error['parameter'] + ': '}{error['message']}"
        for error in errors
    )
    return Refusal(422, "invalid_parameter", what, faults=errors)


def busy(detail: str, code: str = "busy") -> Refusal:
    """503 that asks to come back soon."""
    return Refusal(503, code, detail, headers={"Retry-After": str(BUSY_SECONDS)})


def install(app: Flask) -> None:
    """Make `app` answer every exception with a problem document."""
    app.register_error_handler(Refusal, Refusal.response)
    app.register_error_handler(NotFound, lambda error: Refusal(404, "not_found", str(error)).response())
    app.register_error_handler(IdempotencyConflict, lambda error: Refusal(422, "idempotency_conflict", str(error)).response())
    app.register_error_handler(IllegalAction, _illegal_action)
    app.register_error_handler(AlreadyThere, lambda error: Refusal(409, "already_there", str(error)).response())
    app.register_error_handler(DatasetInUse, lambda error: Refusal(409, "dataset_in_use", str(error), jobs=list(error.jobs)).response())
    app.register_error_handler(WrongOffset, _wrong_offset)
    app.register_error_handler(JobInUse, _job_in_use)
    app.register_error_handler(VersionInUse, _version_in_use)
    app.register_error_handler(KeyEnded, lambda error: Refusal(409, f"{error.how}_key", str(error)).response())
    app.register_error_handler(TooMany, lambda error: Refusal(409, "too_many", str(error)).response())
    app.register_error_handler(WebhookDisabled, lambda error: Refusal(409, "webhook_disabled", str(error)).response())
    app.register_error_handler(InvalidSpec, lambda error: invalid(error.faults).response())
    app.register_error_handler(InvalidData, lambda error: invalid(error.faults).response())
    app.register_error_handler(StoreBusy, _store_busy)
    app.register_error_handler(StorageFull, _storage_full)
    app.register_error_handler(MemoryError, _out_of_memory)
    app.register_error_handler(RecursionError, lambda _: Refusal(400, "too_deep", "The body is nested too deeply.").response())
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _internal)


def _illegal_action(error: IllegalAction) -> Response:
    return Refusal(409, "illegal_action", str(error), state=error.state, allowed_actions=list(error.allowed)).response()


def _job_in_use(error: JobInUse) -> Response:
    return Refusal(409, "job_in_use", str(error), jobs=list(error.jobs), versions=list(error.versions)).response()


def _wrong_offset(error: WrongOffset) -> Response:
    headers = {"Upload-Offset": str(error.received_bytes)}
    return Refusal(409, "wrong_offset", str(error), headers=headers, received_bytes=error.received_bytes).response()


def _version_in_use(error: VersionInUse) -> Response:
    return Refusal(409, "version_in_use", str(error), aliases=list(error.aliases)).response()


def _store_busy(error: StoreBusy) -> Response:
    logger.warning("store busy", error=str(error), cause=str(error.__cause__))
    return busy(f"{error} Send the request again, with the same Idempotency-Key if it creates something.", "store_busy").response()


def _storage_full(error: StorageFull) -> Response:
    logger.error("storage full", error=str(error))
    return Refusal(507, "storage_full", f"{error} Nothing was written.").response()


def _out_of_memory(error: MemoryError) -> Response:
    logger.error("out of memory", path=request.path)
    return busy(
        "This request takes more memory than the server has left. Send less at once, or try again later.", "out_of_memory"
    ).response()


def _http_exception(error: HTTPException) -> Response:
    if error.response is not None or (error.code or 500) < 400:  # a redirect, or a response that was aborted with
        return error.get_response()  # type: ignore[return-value]
    status = error.code or 500
    code = CODES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_")
    detail = error.description or HTTPStatus(status).phrase
    if isinstance(error, RequestEntityTooLarge):  # of a form: what is too large as a whole, service.api.bodies refuses
        detail = (
            f"The form has more than {request.max_form_parts} parts, or more than {request.max_form_memory_size:,} bytes in a part that is "
            "no file. Give the part `file` a file name."
        )
    elif status == 404:
        detail = f"There is nothing at {request.path!r}. /openapi.json lists what there is, and /docs shows it."
    elif status == 405:
        detail = f"{request.path} does not know {request.method}."
    headers = {name: value for name, value in error.get_headers() if name.lower() not in ("content-type", "content-length")}
    return Refusal(status, code, detail, headers=headers).response()


def _internal(error: Exception) -> Response:
    logger.error("internal error", exc_info=error)
    return Refusal(500, "internal", "The server met an error of its own. Its log has the details under this request's id.").response()


class FaultDocument(BaseModel):
    """One thing that is wrong."""

    model_config = ConfigDict(extra="forbid", title="Fault")

    pointer: str = Field(description='JSON pointer into the body; "" is the whole of it.')
    parameter: str | None = Field(None, description="The query parameter, where it is one that is wrong.")
    code: str
    message: str
    expected: str | None = None
    got: str | None = None


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="For programs; `title` and `detail` are for people.")
    request_id: str | None = Field(description="Under this id the server's log knows the request.")
    errors: list[FaultDocument] | None = Field(None, description="With 422: every fault at once.")
    allowed_actions: list[str] | None = Field(None, description="With illegal_action: what the job can be asked now.")
    quota: str | None = Field(None, description="With quota_exceeded and rate_limited: which one.")
    limit: int | None = Field(None, description="With a quota: how much there may be.")
    used: float | None = Field(None, description="With a quota: how much there is, or would be.")
    remedy: str | None = Field(None, description="With a quota: what to do.")
    resets_at: str | None = Field(None, description="With a quota that time gives back: when all of it is free again.")
