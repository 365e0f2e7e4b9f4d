"""The events of a job as they happen, over a stream that is taken up again where it broke."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from sankofa.connection import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, Connection
from sankofa.errors import Busy, Refused, Unreachable

# The service sends a comment at least this often on a stream without news; silence for longer means that nobody is there.
SILENCE_SECONDS = 60.0
LASTING_SECONDS = 5.0
MAX_BREAKS = 8


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. `seq` counts from 1 without gaps; `type` is `state`, `metrics`, ...; `data` depends on it."""

    seq: int
    type: str
    at: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def follow_events(connection: Connection, job_id: str, after: int = 0) -> Iterator[Event]:
    """Every event of the job after number `after`, each once and in order; ends when the job has ended.

    A stream that breaks is opened again with `Last-Event-ID`. Raises Unreachable when that fails several times in a row without a
    single new event.
    """
    seen, breaks = after, 0
    while True:
        # Asked before the stream is opened: a stream opened on an ended job brings everything there will ever be.
        ended = bool(connection.get(f"/v1/jobs/{job_id}")["terminal"])
        reason, opened = "the stream was closed", time.monotonic()
        try:
            with connection.events(
                f"/v1/jobs/{job_id}/events", last_event_id=str(seen) if seen else None, silence_seconds=SILENCE_SECONDS
            ) as source:
                for sent in source:
                    event = _event(sent)
                    if event is None or event.seq <= seen:
                        continue
                    seen, breaks = event.seq, 0
                    yield event
                if ended:
                    return
        except (httpx2.TransportError, Busy) as error:
            reason = error.problem.title if isinstance(error, Refused) else str(error) or type(error).__name__
        # A service may cut a stream that is quiet for long; only streams that do not last are a fault.
        breaks = breaks + 1 if time.monotonic() - opened < LASTING_SECONDS else 1
        if breaks > MAX_BREAKS:
            raise Unreachable(f"the events of job {job_id}: {reason}, {breaks} times in a row without news")
        if breaks > 1:
            time.sleep(min(FIRST_DELAY_SECONDS * 2**breaks, LONGEST_DELAY_SECONDS))


def _event(sent: httpx2.ServerSentEvent) -> Event | None:
    """The event in a message of the stream; None for one that carries none."""
    try:
        document = json.loads(sent.data)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    if {"seq", "type"} <= document.keys():
        return Event(int(document["seq"]), str(document["type"]), document.get("at"), document.get("data") or {})
    return Event(int(sent.id), sent.event, document.get("at"), document) if sent.id.isdecimal() else None
