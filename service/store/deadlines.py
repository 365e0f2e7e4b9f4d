"""Jobs whose deadline is over: one that no worker has fails here, one that a worker has fails by it."""

from __future__ import annotations

import sqlalchemy as sa

from service.store import events
from service.store.database import Store
from service.store.models import Job
from service.store.states import OVERDUE, State

REASON = (
    "deadline",
    "Its deadline was over before it had ended; what it had learned by then, if anything, is kept. Give the next one more time.",
)


def expire(store: Store) -> list[str]:
    """Fail the jobs without an owner whose deadline is over; their ids. Each is a transaction of its own, and may be done twice."""
    over = sa.and_(Job.deadline_at <= sa.bindparam("now", type_=sa.Float), Job.finished_at.is_(None), Job.state.in_(OVERDUE))
    with store.read() as session:
        found = session.execute(sa.select(Job.id, Job.state).where(over), {"now": store.now(session)}).all()
    return [job_id for job_id, state in found if _expire(store, job_id, State(state), over)]


def _expire(store: Store, job_id: str, state: State, over: sa.ColumnElement[bool]) -> bool:
    """Whether the job failed: not where it was claimed, changed or ended meanwhile."""
    with store.write() as session:
        now, new = store.now(session), OVERDUE[state]
        ended = {"state": new, "finished_at": now, "reason_code": REASON[0], "reason_message": REASON[1]}
        change = sa.update(Job).where(Job.id == job_id, Job.state == state, over).values(**ended, event_seq=Job.event_seq + 1)
        seq = session.scalar(change.returning(Job.event_seq), {"now": now})
        if seq is not None:
            reason = {"code": REASON[0], "message": REASON[1]}
            events.add(session, job_id, seq, now, "state", {"state": new, "reason": reason})
        return seq is not None
