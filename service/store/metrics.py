"""What a job reported, a row a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import JobMetric

Item = TypeVar("Item")


def after(store: Store, job_id: str, step: int = -1, limit: int = 1000) -> Sequence[JobMetric]:
    """Reports of a job beyond `step`, in the order of their steps, `limit` at the most."""
    with store.read() as session:
        query = sa.select(JobMetric).where(JobMetric.job_id == job_id, JobMetric.step > step)
        return session.scalars(query.order_by(JobMetric.step).limit(limit)).all()


def thinned(store: Store, job_id: str, most: int, step: int = -1) -> Sequence[JobMetric]:
    """At most so many of the reports beyond `step`, evenly spaced, the first and the last among them.

    Where there are ends of epochs and reports every so many steps, half of them are of either kind, or all there are of one.
    """
    wanted = sa.and_(JobMetric.job_id == job_id, JobMetric.step > step)
    with store.read() as session:
        found = session.execute(sa.select(JobMetric.step, JobMetric.epoch).where(wanted).order_by(JobMetric.step)).all()
        chosen = _chosen([(row.step, row.epoch) for row in found], most)
        query = (
            sa.select(JobMetric).where(wanted, JobMetric.step.in_(chosen))
            if len(chosen) < len(found)
            else sa.select(JobMetric).where(wanted)
        )
        return session.scalars(query.order_by(JobMetric.step)).all()


def evenly(items: Sequence[Item], most: int) -> Sequence[Item]:
    """At most so many of them, 2 or more, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[number * (len(items) - 1) // (most - 1)] for number in range(most)]


def _chosen(reports: Sequence[tuple[int, int]], most: int) -> Sequence[int]:
    """The steps of those that are kept. reports: step and epochs completed, of each."""
    ends, others, epoch = list[int](), list[int](), 0
    for step, completed in reports:
        (ends if completed > epoch else others).append(step)
        epoch = completed
    if len(reports) <= most or min(len(ends), len(others), most // 2) < 2:
        return evenly([step for step, _ in reports], most)
    of_ends = max(most // 2, most - len(others))
    kept_ends = evenly(ends, of_ends)
    return sorted([*kept_ends, *evenly(others, most - len(kept_ends))])
