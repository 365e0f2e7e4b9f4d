"""JSON answers, and what a conditional request makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response, request

from service.api.problems import Refusal
from service.store import clock


def encode(document: Any) -> bytes:
    """The document as JSON; equal documents give equal bytes."""
    return orjson.dumps(document)


def answer(body: bytes, status: int = 200, **headers: str) -> Response:
    """A JSON answer with these bytes. Underscores in the names of `headers` become hyphens."""
    response = Response(body, status, content_type="application/json")
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def etag(body: bytes) -> str:
    """The strong entity tag of these bytes."""
    return f'"{hashlib.sha256(body).hexdigest()}"'


def is_known(tag: str) -> bool:
    """Whether the client says that it has what `tag` names (If-None-Match)."""
    return request.if_none_match.contains_weak(tag.strip('"')) if "If-None-Match" in request.headers else False


def not_modified(tag: str) -> Response:
    """304: the client has it already."""
    response = Response(status=304)
    response.headers["ETag"] = tag
    del response.headers["Content-Type"]
    return response


def chosen(asked: str | None, kinds: Mapping[str, str]) -> str:
    """The name of the kind of answer that is wanted: the one asked for, else by `Accept`, else the first. kinds: names, media types.

    Raises Refusal (406) where none is accepted.
    """
    if asked is not None:
        return asked
    if not request.accept_mimetypes:
        return next(iter(kinds))
    accepted = request.accept_mimetypes.best_match(list(kinds.values()))
    if accepted is None:
        available = list(kinds.values())
        raise Refusal(406, "not_acceptable", f"There is {', '.join(available)}; or say ?format={'|'.join(kinds)}.", available=available)
    return next(name for name, media_type in kinds.items() if media_type == accepted)


def iso_time(seconds: float | None) -> str | None:
    """A time as answers show it: ISO 8601 in UTC with milliseconds."""
    return None if seconds is None else clock.iso_time(seconds)
