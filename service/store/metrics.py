"""What a job reported, a row a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from service.store.database import Store, to_json
from service.store.models import JobMetric

Item = TypeVar("Item")

# By the driver's own words: a small job ends with hundreds of rows, and SQLAlchemy takes longer to look at each than SQLite to write it.
_ADD_METRIC = 'INSERT INTO job_metric (job_id, step, epoch, at, "values") VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING'
# Postgres gets them in one statement.
_ADD_METRICS = """
    INSERT INTO job_metric (job_id, step, epoch, at, "values")
    SELECT %s::text, step, epoch, %s::float8, told::json FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS metric (step, epoch, told)
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Metric:
    """What the trainer reported at a step: loss, validation_loss, metrics."""

    step: int
    epoch: int
    values: dict[str, Any]


def add_metrics(store: Store, connection: sa.Connection, job_id: str, metrics: Sequence[Metric], now: float) -> None:
    """Write what a job reported, in the transaction of its progress. What is there already stays."""
    if not metrics:
        return
    told = [to_json(metric.values) for metric in metrics]
    if store.is_sqlite:
        rows = [(job_id, metric.step, metric.epoch, now, values) for metric, values in zip(metrics, told, strict=True)]
        connection.exec_driver_sql(_ADD_METRIC, rows)
    else:
        steps, epochs = [metric.step for metric in metrics], [metric.epoch for metric in metrics]
        connection.exec_driver_sql(_ADD_METRICS, (job_id, now, steps, epochs, told))


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
