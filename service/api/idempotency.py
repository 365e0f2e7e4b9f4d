"""`Idempotency-Key`: a creating request that is sent again gets the answer of the first."""

from __future__ import annotations

import hashlib
import re

from flask import Response, request

from service.api.answers import answer, etag
from service.api.openapi import header_parameter
from service.api.problems import Refusal
from service.store.idempotency import Created, Once

KEY = re.compile(r"[\x20-\x7e]{1,255}")
HEADER = header_parameter(
    "Idempotency-Key",
    "Any text of your own. A request that is sent again with the same key and the same body creates nothing and gets the first answer, "
    "with `Idempotent-Replayed: true`; with another body it is refused (422).",
    {"type": "string", "minLength": 1, "maxLength": 255},
)


def key_sent() -> str | None:
    """The request's key, or None. Raises Refusal when it is not 1 to 255 printable ASCII characters."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        raise Refusal(422, "invalid_idempotency_key", "Expected 1 to 255 printable ASCII characters as Idempotency-Key.")
    return key


def once(content_digest: str) -> Once | None:
    """What makes the current request the same as another: route, key, content, query and media type; None if it has no key."""
    key = key_sent()
    if key is None:
        return None
    same = "\n".join((content_digest, request.query_string.decode("latin-1"), request.mimetype))
    return Once(f"{request.method} {request.path}", key, hashlib.sha256(same.encode()).hexdigest())


def created(made: Created, status: int, location: str) -> Response:
    """The answer to a creating request, new or repeated."""
    response = answer(made.answer, status, Location=location, ETag=etag(made.answer))
    if made.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
