"""A job's events, reports and progress as they happen, as server-sent events."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from flask import Response, request

from service.api import metrics as metric_list
from service.api.answers import encode, iso_time
from service.api.context import Context
from service.api.job_document import progress
from service.store import events, jobs, metrics
from service.store.errors import NotFound, StoreBusy
from service.store.models import Job, JobEvent, JobMetric
from service.store.states import TERMINAL

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 5.0  # a stream whose client is gone is found out, and its place given back, when it is written to
RETRY_MILLISECONDS = 1000
LEAST_PAUSE_SECONDS = 0.05
MOST_PAUSE_SECONDS = 0.25
PAGE = 1000
IDENTIFIER = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?")


@dataclass(frozen=True)
class Position:
    """How far a stream is: the last event, and the step of the last report."""

    seq: int
    step: int

    @classmethod
    def read(cls, text: str) -> Position | None:
        """The position in an event's id, or None if it is none of ours."""
        found = IDENTIFIER.fullmatch(text.strip())
        return None if found is None else cls(int(found[1]), -1 if found[2] is None else int(found[2]))

    def __str__(self) -> str:
        return str(self.seq) if self.step < 0 else f"{self.seq}.{self.step}"


def event_stream(here: Context, tenant_id: str, job_id: str, seen: Position) -> Response:
    """The stream behind `seen`. Raises Refusal (503) when this process carries too many already."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(content_type=MEDIA_TYPE, headers=headers)
    leave = here.streams.enter()
    response = Response(_messages(here, tenant_id, job_id, seen), content_type=MEDIA_TYPE, headers=headers)
    response.call_on_close(leave)
    return response


def document(event: JobEvent) -> dict[str, Any]:
    """The event as the API shows it."""
    return {"seq": event.seq, "at": iso_time(event.at), "type": event.type, "data": event.data}


def _messages(here: Context, tenant_id: str, job_id: str, seen: Position) -> Iterator[bytes]:
    """Messages until the job has ended, the server stops, or the database does not answer: then the client comes back."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    shown: dict[str, Any] = {}
    looked_at: tuple[object, ...] = ()
    spoke_at, pause = time.monotonic(), LEAST_PAUSE_SECONDS
    try:
        while not here.streams.closing:
            job = jobs.row(here.store, tenant_id, job_id)
            state = (job.event_seq, job.step, job.heartbeat_at)
            if state != looked_at:
                looked_at, pause, spoke_at = state, LEAST_PAUSE_SECONDS, time.monotonic()
                for item in _news(here, job, seen):
                    seen, message = _message(seen, item)
                    yield message
                if progress(job) != shown:
                    shown = progress(job)
                    yield _encode("progress", shown)
            if job.state in TERMINAL and seen.seq >= job.event_seq:
                return
            if time.monotonic() - spoke_at >= HEARTBEAT_SECONDS:
                spoke_at = time.monotonic()
                yield b": heartbeat\n\n"
            here.streams.wait(pause)
            pause = min(pause * 1.3, MOST_PAUSE_SECONDS)
    except (NotFound, StoreBusy):  # deleted meanwhile; or the client comes back
        return


def _news(here: Context, job: Job, seen: Position) -> Iterator[JobEvent | JobMetric]:
    """Events and reports behind `seen`, by time; a report goes before the event that was committed with it."""
    waiting: list[JobEvent] = []
    while seen.seq < job.event_seq:
        page = events.after(here.store, job.id, waiting[-1].seq if waiting else seen.seq, PAGE)
        waiting += page
        if len(page) < PAGE:
            break
    step = seen.step
    while True:
        reports = metrics.after(here.store, job.id, step, PAGE)
        for report in reports:
            while waiting and waiting[0].at < report.at:
                yield waiting.pop(0)
            yield report
        if len(reports) < PAGE:
            break
        step = reports[-1].step
    yield from waiting


def _message(seen: Position, item: JobEvent | JobMetric) -> tuple[Position, bytes]:
    """Where the stream is with `item`, and the message that carries it."""
    if isinstance(item, JobMetric):
        seen = replace(seen, step=item.step)
        return seen, _encode("metrics", metric_list.document(item), seen)
    seen = replace(seen, seq=item.seq)
    return seen, _encode(item.type, document(item), seen)


def _encode(name: str, data: dict[str, Any], position: Position | None = None) -> bytes:
    identifier = b"" if position is None else f"id: {position}\n".encode()
    return identifier + f"event: {name}\n".encode() + b"data: " + encode(data) + b"\n\n"
