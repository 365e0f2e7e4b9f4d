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

# The service sends a heartbeat every 15 s on a stream without news; silence for longer than this means that nobody is there.
SILENCE_SECONDS = 60.0
# A service may cut a stream that is quiet for long; only streams that do not last are a fault.
LASTING_SECONDS = 5.0
MAX_BREAKS = 8


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    type: `state` (data: what changed), `metrics` (data: a report, as in `Job.metrics`), `progress` (data: as `Job.progress`), ...
    id: how far the stream is with it, for `Job.events(after=...)`; `progress` is not counted, and not repeated.
    """

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    at: str | None = None
    id: str | None = None


def follow_events(connection: Connection, job_id: str, after: str | None = None) -> Iterator[Event]:
    """Every event of the job behind the one with the id `after`, in order; ends when the job has ended.

    A stream that breaks is opened again with `Last-Event-ID`. Raises Unreachable when that fails several times in a row without a
    single new event.
    """
    seen, breaks = after, 0
    while True:
        reason, opened = "the stream was closed", time.monotonic()
        try:
            with connection.events(f"/v1/jobs/{job_id}/events", last_event_id=seen, silence_seconds=SILENCE_SECONDS) as source:
                # The service's way to say that the job has ended and that everything was sent.
                if source.response.status_code == 204:
                    return
                for message in source:
                    event = _event(message)
                    if event is not None:
                        seen, breaks = event.id or seen, 0
                        yield event
        except (httpx2.TransportError, Busy) as error:
            reason = error.problem.title if isinstance(error, Refused) else str(error) or type(error).__name__
        breaks = breaks + 1 if time.monotonic() - opened < LASTING_SECONDS else 1
        if breaks > MAX_BREAKS:
            raise Unreachable(f"the events of job {job_id}: {reason}, {breaks} times in a row without news")
        if breaks > 1:
            time.sleep(min(FIRST_DELAY_SECONDS * 2**breaks, LONGEST_DELAY_SECONDS))


def _event(message: httpx2.ServerSentEvent) -> Event | None:
    """The event in a message of the stream; None for a message that carries none."""
    try:
        document = json.loads(message.data)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    # Events of the job's history come in an envelope with their number, reports and progress as they are.
    data = document["data"] if {"seq", "data"} <= document.keys() else document
    return Event(message.event, data, document.get("at"), message.id or None)
