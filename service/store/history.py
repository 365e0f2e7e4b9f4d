"""The states a job went through and how long it was in each, read from its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import JobEvent
from service.store.states import TERMINAL, State


@dataclass(frozen=True)
class Stay:
    """A state that a job was in. seq: of the event it began with. until: None where it is in it still. seconds: None of an end state."""

    seq: int
    state: State
    at: float
    until: float | None
    seconds: float | None


@dataclass(frozen=True)
class History:
    """seconds: in each state there was, all stays together, up to now. lost: how often its worker was lost."""

    stays: Sequence[Stay]
    seconds: Mapping[State, float]
    lost: int


_STATE = JobEvent.data["state"].as_string()
_STAYS = (
    sa.select(
        JobEvent.seq,
        _STATE.label("state"),
        JobEvent.at,
        sa.func.lead(JobEvent.at).over(order_by=JobEvent.seq).label("until"),
        sa.case((JobEvent.data["lost"].as_boolean(), 1), else_=0).label("lost"),
    )
    .where(JobEvent.job_id == sa.bindparam("of_job"), JobEvent.type == "state")
    .subquery()
)
_NOW = sa.bindparam("now", type_=sa.Float)
_ENDED = _STAYS.c.state.in_(TERMINAL)
# Never negative, though somebody set the clock of the database back.
_PASSED = sa.func.coalesce(_STAYS.c.until, _NOW) - _STAYS.c.at
_SECONDS = sa.case((_ENDED, None), (_PASSED < 0, 0.0), else_=_PASSED).label("seconds")
_PAGE = (
    sa.select(_STAYS.c.seq, _STAYS.c.state, _STAYS.c.at, _STAYS.c.until, _SECONDS)
    .where(_STAYS.c.seq > sa.bindparam("after"))
    .order_by(_STAYS.c.seq)
    .limit(sa.bindparam("most"))
)
_TOTALS = sa.select(_STAYS.c.state, sa.func.sum(_SECONDS).label("seconds"), sa.func.sum(_STAYS.c.lost).label("lost"))
_TOTALS = _TOTALS.group_by(_STAYS.c.state).order_by(sa.func.min(_STAYS.c.seq))


def of(store: Store, job_id: str, *, after: int = 0, limit: int = 1000) -> History:
    """The job's history; of its stays those that began behind the event `after`, oldest first, `limit` at the most."""
    with store.read_rows() as connection:
        asked = {"of_job": job_id, "now": store.now(connection)}
        rows = connection.execute(_PAGE, {**asked, "after": after, "most": limit}).all()
        stays = [Stay(row.seq, State(row.state), row.at, row.until, row.seconds) for row in rows]
        totals = connection.execute(_TOTALS, asked).all()
        seconds = {State(row.state): row.seconds for row in totals if row.seconds is not None}
        return History(stays, seconds, sum(int(row.lost) for row in totals))
