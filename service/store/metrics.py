"""What a job reported, a row a report."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import JobMetric


def after(store: Store, job_id: str, step: int = -1, limit: int = 1000) -> Sequence[JobMetric]:
    """Reports of a job beyond `step`, in the order of their steps, `limit` at the most."""
    with store.read() as session:
        query = sa.select(JobMetric).where(JobMetric.job_id == job_id, JobMetric.step > step)
        return session.scalars(query.order_by(JobMetric.step).limit(limit)).all()
