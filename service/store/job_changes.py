"""What a user changes of a job that is there: its name, tags, priority and deadline; and what is asked of many jobs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from service.store import audit, clock, events, jobs
from service.store.database import Store
from service.store.errors import IllegalAction, NotFound
from service.store.job_filter import JobFilter
from service.store.models import Job
from service.store.states import REQUESTED, Action


def change(store: Store, tenant_id: str, job_id: str, revision: int, values: Mapping[str, Any]) -> bool:
    """Write `values` of name, tags, priority and deadline_at; False where the job's revision is another by now. Raises NotFound."""
    with store.write() as session:
        now = store.now(session)
        mine = sa.and_(Job.id == job_id, Job.tenant_id == tenant_id)
        raised = {"revision": Job.revision + 1, "event_seq": Job.event_seq + 1}
        changed = sa.update(Job).where(mine, Job.revision == revision).values({**values, **raised}).returning(Job.event_seq)
        seq = session.scalar(changed)
        if seq is None:
            if session.scalar(sa.select(Job.id).where(mine)) is None:
                raise NotFound("job", job_id)
            return False
        told = {
            name.removesuffix("_at"): clock.iso_time(value) if name == "deadline_at" and value else value for name, value in values.items()
        }
        events.add(session, job_id, seq, now, "changed", told)
        audit.record(session, now, "job.change", job_id, tenant_id, **told)
        return True


def request_all(store: Store, tenant_id: str, action: Action, chosen: JobFilter, limit: int) -> tuple[Sequence[str], bool]:
    """Ask for `action` of every job that is meant and that it would change; (those that it did change, whether there are more).

    Each is a transaction of its own, oldest job first; `limit` of them at the most.
    """
    query = sa.select(Job.id).where(Job.tenant_id == tenant_id, Job.state.in_(REQUESTED[action]), *chosen.where(store))
    with store.read() as session:
        found = session.scalars(query.order_by(Job.id).limit(limit + 1)).all()
    changed = []
    for job_id in found[:limit]:
        with suppress(IllegalAction, NotFound):  # it has ended meanwhile
            if jobs.request(store, tenant_id, job_id, action):
                changed.append(job_id)
    return changed, len(found) > limit
