"""Events: what happened to a job, in the order it happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import deliveries
from service.store.database import Store
from service.store.models import JobEvent

_INSERT = sa.insert(JobEvent.__table__)  # type: ignore[arg-type]  # a mapped class has a Table, though it does not say so


def add(session: Session | sa.Connection, job_id: str, seq: int, at: float, type: str, data: dict[str, Any]) -> None:
    """Add an event in the transaction that raised the job's `event_seq` to `seq`, and what webhooks are to be told of it.

    To be called when the rows of the job are as the event says.
    """
    session.execute(_INSERT, {"job_id": job_id, "seq": seq, "at": at, "type": type, "data": data})
    deliveries.announce(session, job_id, at, type, data)


def after(store: Store, job_id: str, seq: int, limit: int = 1000) -> Sequence[JobEvent]:
    """Events of a job behind `seq`, oldest first, `limit` at the most."""
    with store.read() as session:
        return session.scalars(
            sa.select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > seq).order_by(JobEvent.seq).limit(limit)
        ).all()
