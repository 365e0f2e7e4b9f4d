"""`Prefer: wait=N` (RFC 7240): an answer that is held back until there is something new."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from flask import Response, request

from service.api.answers import answer, is_known, not_modified
from service.api.openapi import header_parameter
from service.api.streams import Streams

MAX_WAIT_SECONDS = 60
LEAST_PAUSE_SECONDS = 0.01
MOST_PAUSE_SECONDS = 0.25
PAUSE_GROWTH = 1.15  # so a change is seen late by a sixth of the time waited for it at the most
WAIT = re.compile(r'wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;.*)?', re.IGNORECASE)

IF_NONE_MATCH = header_parameter("If-None-Match", "The `ETag` of the answer you have; 304 when there is nothing newer.")
PREFER = header_parameter("Prefer", "`wait=30`: hold the answer back for up to 30 (at most 60) seconds until there is something new.")

Read = Callable[[], tuple[bytes, str, bool]]


def preferred_wait_seconds() -> int:
    """How long the client would wait; 0 when it does not say so in a way that can be read."""
    for preference in request.headers.get("Prefer", "").split(","):
        found = WAIT.fullmatch(preference.strip())
        if found:
            return min(int(found[1] or found[2]), MAX_WAIT_SECONDS)
    return 0


def answered(streams: Streams, read: Read) -> Response:
    """What `read` gives, or 304 where the client has it; held back as long as it would wait for something new."""
    body, tag, ended = read()
    seconds = preferred_wait_seconds()
    waits = seconds > 0 and not ended and ("If-None-Match" not in request.headers or is_known(tag))
    if waits:
        body, tag, ended = until_changed(streams, read, tag, seconds)
    response = not_modified(tag) if is_known(tag) else answer(body, ETag=tag)
    if waits:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    response.headers["Cache-Control"] = "no-cache"
    return response


def until_changed(streams: Streams, read: Read, tag: str, seconds: float) -> tuple[bytes, str, bool]:
    """What `read` (body, entity tag, ended) gives once its tag is another than `tag`, or after `seconds`, or when this process stops.

    Looks often at first and then less so. Raises Refusal (503) when this process carries too many streams already.
    """
    ends_at = time.monotonic() + seconds
    pause = LEAST_PAUSE_SECONDS
    with streams.place():
        while True:
            found = read()
            left = ends_at - time.monotonic()
            if found[1] != tag or left <= 0 or streams.wait(min(pause, left)):
                return found
            pause = min(pause * PAUSE_GROWTH, MOST_PAUSE_SECONDS)
