"""/v1/jobs/compare: several jobs side by side: where their specs differ, what came out, and their curves over one axis."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.errors import Fault
from nncore.faults import pointer
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.job_document import Result, result
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import Parameters, known_id
from service.api.problems import invalid_parameters
from service.store import jobs, metrics
from service.store.jobs import JobDetail
from service.store.models import JobMetric
from service.store.states import State

resource = blueprint("compare", "Several jobs side by side.", "/v1/jobs")

MOST_JOBS = 20
MOST_DIFFERENCES = 1000
MOST_CHARACTERS = 500  # of a value, as JSON: given weights are not told here
OF_A_REPORT = ("loss", "recent_loss", "validation_loss", "learning_rate")


class Compared(BaseModel):
    """A job, and what came out."""

    model_config = ConfigDict(extra="forbid")

    job: str
    name: str | None
    state: State
    dataset: str
    tags: dict[str, Any]
    step: int
    epoch: int
    trained_seconds: float
    result: Result | None = Field(description="Once it has ended with parameters: the best ones, and those of its last step.")


class Difference(BaseModel):
    """A field of the resolved spec that is not the same in all of the jobs."""

    model_config = ConfigDict(extra="forbid")

    pointer: str = Field(description="JSON pointer into the spec.")
    values: dict[str, Any] = Field(
        description="By the job's id; a job whose spec has no such field is left out. A value of more than 500 characters is told as null."
    )


class Curve(BaseModel):
    """What a job reported, a number for each point of the axis: that of its last report there or before; null before the first."""

    model_config = ConfigDict(extra="forbid")

    job: str
    values: dict[str, list[float | None]] = Field(
        description="loss, recent_loss, validation_loss, learning_rate and the metrics, those that some report of it has. They end with "
        "its last report: a list may be shorter than the axis."
    )


class Comparison(BaseModel):
    """Several jobs, in the order they were asked for."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[Compared]
    differences: list[Difference] = Field(description="In the order of the fields of a spec.")
    more_differences: bool = Field(description="Whether there are more than the thousand that are told.")
    axis: Literal["epoch", "step"]
    points: list[float] = Field(description="Where the curves are told: at reports, ascending.")
    curves: list[Curve]


class CompareQuery(Parameters):
    job: list[str] = Field(min_length=2, max_length=MOST_JOBS, description="The jobs' ids: job=A&job=B.")
    axis: Literal["epoch", "step"] = Field(
        "epoch", description="What the points count. Steps of jobs that take other batches are not worth the same; epochs are."
    )
    max_points: int = Field(
        200, ge=2, le=2000, description="Of all places where a job reported no more than this, first and last among them."
    )


@resource.get("/compare", responses={200: json_answer(Comparison, "The comparison."), **refusals(_404="There is no such job.")})
@needs("read")
def compare_jobs(query: CompareQuery) -> Response:
    """Compare 2 to 20 jobs: the fields of their specs that differ, their best and last metrics, and their curves over one axis.

    Nothing is made up between two reports: at every point a curve has what was reported last.
    """
    here, owner = context(), tenant_id()
    doubled = sorted({job for job in query.job if query.job.count(job) > 1})
    if doubled:
        message = f"{', '.join(doubled)} stands there more than once; name each job once"
        raise invalid_parameters([Fault("/job", "doubled_job", message, "different jobs", ", ".join(doubled))])
    details = [jobs.get(here.store, owner, known_id("job", job)) for job in query.job]
    reports = [metrics.thinned(here.store, job, most=query.max_points) for job in query.job]
    places = [[_place(detail, report, query.axis) for report in found] for detail, found in zip(details, reports, strict=True)]
    points = metrics.evenly(sorted({place for each in places for place in each}), query.max_points)
    found = list(_differences({detail.job.id: detail.spec for detail in details}))
    document = {
        "jobs": [_compared(detail) for detail in details],
        "differences": found[:MOST_DIFFERENCES],
        "more_differences": len(found) > MOST_DIFFERENCES,
        "axis": query.axis,
        "points": points,
        "curves": [
            {"job": job, "values": dict(_curves(told, at, points))} for job, told, at in zip(query.job, reports, places, strict=True)
        ],
    }
    return answer(encode(document))


def _compared(detail: JobDetail) -> dict[str, Any]:
    job = detail.job
    return {
        "job": job.id,
        "name": job.name,
        "state": job.state,
        "dataset": job.dataset_id,
        "tags": job.tags,
        "step": job.step,
        "epoch": job.epoch,
        "trained_seconds": round(job.trained_seconds, 3),
        "result": result(detail.snapshots),
    }


def _differences(specs: Mapping[str, Any], at: str = "", wanted: int = 0) -> Iterator[dict[str, Any]]:
    """Where `specs`, by job, are not the same. Lists are looked into where they hold objects.

    wanted: of how many jobs; 0 for all of these.
    """
    wanted = wanted or len(specs)
    values = list(specs.values())
    if len(values) == wanted and all(isinstance(value, dict) for value in values):
        names: Sequence[Any] = list(dict.fromkeys(name for value in values for name in value))
    elif len(values) == wanted and all(isinstance(value, list) and _holds_objects(value) for value in values):
        names = range(max(map(len, values)))
    elif len(values) < wanted or len({_as_json(value) for value in values}) > 1:
        yield {"pointer": at, "values": {job: value if len(_as_json(value)) <= MOST_CHARACTERS else None for job, value in specs.items()}}
        return
    else:
        return
    for name in names:
        inner = {job: value[name] for job, value in specs.items() if (name in value if isinstance(value, dict) else name < len(value))}
        yield from _differences(inner, at + pointer(name), wanted)


def _holds_objects(value: list[Any]) -> bool:
    return all(isinstance(each, dict) or (isinstance(each, list) and _holds_objects(each)) for each in value)


def _as_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _place(detail: JobDetail, report: JobMetric, axis: str) -> float:
    """Where the report stands on the axis; within an epoch at the part of its steps that were done."""
    if axis == "step":
        return report.step
    if report.values.get("epoch_ended", True):
        return report.epoch
    return round(report.step / int(detail.spec["sizes"]["steps_per_epoch"]), 6)


def _curves(reports: Sequence[JobMetric], places: Sequence[float], points: Sequence[float]) -> Iterator[tuple[str, list[float | None]]]:
    """(name, values) of every number that some report has, up to the last report."""
    series: dict[str, list[tuple[float, float]]] = {}
    for report, place in zip(reports, places, strict=True):
        metrics_told = report.values.get("metrics") or {}
        for name, value in [*((name, report.values.get(name)) for name in OF_A_REPORT), *metrics_told.items()]:
            if isinstance(value, int | float):
                series.setdefault(name, []).append((place, value))
    reached = points[: bisect_right(points, places[-1])] if places else ()
    for name, known in series.items():
        at = [place for place, _ in known]
        found = [bisect_right(at, point) - 1 for point in reached]
        yield name, [None if number < 0 else known[number][1] for number in found]
