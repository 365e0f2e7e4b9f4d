"""Files that jobs left beside parameters."""

from __future__ import annotations

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import JobFile


def find(store: Store, job_id: str, name: str) -> JobFile | None:
    """The file of this name that the job left, or None."""
    with store.read() as session:
        return session.scalar(sa.select(JobFile).where(JobFile.job_id == job_id, JobFile.name == name))
