"""/v1/jobs/{id}/events: what happened to a job, as a list or as a stream of server-sent events."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.event_stream import MEDIA_TYPE, Position, document, event_stream
from service.api.openapi import answer as described
from service.api.openapi import blueprint, header_parameter, json_answer, reads_headers, refusals
from service.api.parameters import JobPath, Parameters
from service.api.problems import Refusal
from service.store import events as stored
from service.store import jobs
from service.store.states import TERMINAL

resource = blueprint("events", "What happens to jobs.", "/v1/jobs")

LAST_EVENT_ID = header_parameter("Last-Event-ID", "The id of the last event that was seen: the stream goes on behind it.")


class EventDocument(BaseModel):
    """Something that happened to a job."""

    model_config = ConfigDict(extra="forbid", title="Event")

    seq: int = Field(description="Counts a job's events from 1, without gaps.")
    at: str
    type: str
    data: dict[str, Any]


class EventList(BaseModel):
    """Events, oldest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[EventDocument]
    next_cursor: str | None


class EventsQuery(Parameters):
    after_seq: int = Field(0, ge=0, le=2**62, description="Only events behind this one.")
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before; goes before `after_seq`.")
    limit: int = Field(1000, ge=1, le=10_000, description="Most events of the page.")


LIST = json_answer(EventList, "Events, or with `Accept: text/event-stream` a stream of them.")
STREAM = described(
    {MEDIA_TYPE: {"schema": {"type": "string"}, "example": 'id: 1\nevent: state\ndata: {"seq":1,"type":"state",...}\n\n'}}, ""
)
LIST["content"] |= STREAM["content"]


@resource.get(
    "/<job_id>/events",
    responses={
        200: LIST,
        204: {"description": "The job has ended and there is nothing behind `Last-Event-ID`."},
        **refusals(_404="There is no such job.", _406="Neither JSON nor an event stream is accepted."),
    },
)
@reads_headers(LAST_EVENT_ID)
@needs("read")
def list_job_events(path: JobPath, query: EventsQuery) -> Response:
    """List what happened to a job, or follow it as it happens.

    With `Accept: text/event-stream` the answer is a stream: first what has happened already, then what happens, until the job has
    ended. Events are named `state` (an event as in the list), `metrics` (a report as in /metrics) and `progress` (as in the job).
    `state` and `metrics` carry an id, "SEQ" or "SEQ.STEP"; sent back as `Last-Event-ID` it lets a broken stream go on without gaps.
    """
    here, owner = context(), tenant_id()
    job = jobs.row(here.store, owner, path.job_id)
    if request.accept_mimetypes.best_match(["application/json", MEDIA_TYPE]) == MEDIA_TYPE:
        seen = Position.read(request.headers.get("Last-Event-ID", "")) or Position(query.after_seq, -1)
        if job.state in TERMINAL and "Last-Event-ID" in request.headers and seen.seq >= job.event_seq:
            return Response(status=204)  # tells an EventSource not to come back
        return event_stream(here, owner, path.job_id, seen)
    if not request.accept_mimetypes.accept_json and request.accept_mimetypes:
        raise Refusal(406, "not_acceptable", f"There is application/json and {MEDIA_TYPE}.", available=["application/json", MEDIA_TYPE])
    after = query.after_seq if query.cursor is None else int(query.cursor)
    found = stored.after(here.store, path.job_id, after, query.limit + 1)
    shown = found[: query.limit]
    cursor = str(shown[-1].seq) if len(found) > query.limit else None
    return answer(encode({"data": [document(event) for event in shown], "next_cursor": cursor}))
