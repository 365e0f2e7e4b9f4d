"""JSON answers, and what a conditional request makes of them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, request


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


def iso_time(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds: 2026-01-31T12:00:00.000Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
