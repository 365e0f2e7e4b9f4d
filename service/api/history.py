"""/v1/jobs/{id}/history: the states a job went through, and how long it was in each."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath, Parameters
from service.store import history as stored
from service.store import jobs
from service.store.history import Stay
from service.store.states import State

resource = blueprint("history", "Where the time of a job went.", "/v1/jobs")


class StayDocument(BaseModel):
    """A state that a job was in."""

    model_config = ConfigDict(extra="forbid", title="Stay")

    seq: int = Field(description="The event with which it began.")
    state: State
    at: str
    until: str | None = Field(description="Null where it is in it still.")
    seconds: float | None = Field(description="Up to now, where it is in it still; null of an end state.")


class History(BaseModel):
    """The states a job went through."""

    model_config = ConfigDict(extra="forbid")

    claims: int = Field(description="How often a worker took it.")
    lost: int = Field(description="How often a worker was lost with it.")
    seconds: dict[State, float] = Field(description="In each state, all stays together, up to now.")
    data: list[StayDocument] = Field(description="Every stay, oldest first.")
    next_cursor: str | None


class HistoryQuery(Parameters):
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before.")
    limit: int = Field(1000, ge=1, le=10_000, description="Most stays of the page.")


@resource.get("/<job_id>/history", responses={200: json_answer(History, "The history."), **refusals(_404="There is no such job.")})
@needs("read")
def get_job_history(path: JobPath, query: HistoryQuery) -> Response:
    """Say which states a job went through, and how long it was in each.

    Every turn that a job gets is a stay in `running`, every wait for the next one a stay in `queued`.
    """
    store = context().store
    job = jobs.row(store, tenant_id(), path.job_id)
    found = stored.of(store, job.id, after=int(query.cursor or 0), limit=query.limit + 1)
    shown = found.stays[: query.limit]
    document = {
        "claims": job.slices,
        "lost": found.lost,
        "seconds": {str(state): round(seconds, 3) for state, seconds in found.seconds.items()},
        "data": [_document(stay) for stay in shown],
        "next_cursor": str(shown[-1].seq) if len(found.stays) > query.limit else None,
    }
    return answer(encode(document))


def _document(stay: Stay) -> dict[str, Any]:
    seconds = None if stay.seconds is None else round(stay.seconds, 3)
    return {"seq": stay.seq, "state": stay.state, "at": iso_time(stay.at), "until": iso_time(stay.until), "seconds": seconds}
