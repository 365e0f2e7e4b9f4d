"""A cross-validation as the API shows it: its folds, and what they say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import iso_time
from service.api.job_document import Measured, Reason, Tested, fraction, measured
from service.store.cross_validations import CrossValidationDetail, FoldJob, Overview
from service.store.models import CrossValidation
from service.store.states import TERMINAL, State

WITH_RESULTS = frozenset({State.SUCCEEDED, State.STOPPED})


class FoldDocument(BaseModel):
    """The job that holds out one of the folds."""

    model_config = ConfigDict(extra="forbid", title="CrossValidationFold")

    fold: int = Field(description="Its number, from 0.")
    job: str
    state: State
    fraction: float = Field(description="Steps done, of all; 0 to 1.")
    epoch: int = Field(description="Epochs completed.")
    validation_rows: int = Field(description="How many rows the fold holds out.")
    reason: Reason | None = Field(description="Why it failed.")
    best: Measured | None = Field(description="Its best parameters, judged by the fold; once it has succeeded or was stopped.")
    test: Tested | None = Field(description="The same, judged by the rows that are kept for the end.")


class Spread(BaseModel):
    """A number of several folds."""

    model_config = ConfigDict(extra="forbid")

    mean: float
    standard_deviation: float | None = Field(description="Of the sample: divided by one less than there are folds. Null of one fold.")
    minimum: float
    maximum: float
    folds: int = Field(description="In how many folds there is such a number.")


class Summary(BaseModel):
    """What the folds that have a result say together; each counts once, however many rows it holds out."""

    model_config = ConfigDict(extra="forbid", title="CrossValidationSummary")

    folds: int = Field(description="How many have a result: they have succeeded, or were stopped with parameters.")
    validation: dict[str, Spread] = Field(description="`loss` and each metric of their best parameters, judged by the fold.")
    test: dict[str, Spread] | None = Field(description="The same, judged by the rows that are kept for the end; null where none are.")


class CrossValidationOverview(BaseModel):
    """A cross-validation in a list."""

    model_config = ConfigDict(extra="forbid")

    id: str
    name: str | None
    created_at: str
    dataset: str
    folds: int = Field(description="How many jobs were made.")
    counts: dict[str, int] = Field(description="How many of them are in which state.")
    deleted: int = Field(description="How many of them have been deleted since; what they had found is not known any more.")
    terminal: bool = Field(description="Whether all that are there have ended.")
    links: dict[str, str]


class CrossValidationDocument(CrossValidationOverview):
    """A cross-validation."""

    model_config = ConfigDict(title="CrossValidation")

    jobs: list[FoldDocument] = Field(description="Those that are there, by the number of their fold.")
    summary: Summary


def overview(found: Overview) -> dict[str, Any]:
    """A cross-validation in a list, as JSON."""
    return _head(found.row, found.counts)


def document(detail: CrossValidationDetail) -> dict[str, Any]:
    """The cross-validation as JSON. It depends on nothing but what is stored."""
    return {
        **_head(detail.row, Counter(job.state for job in detail.jobs)),
        "jobs": [_fold(job) for job in detail.jobs],
        "summary": _summary(detail.jobs),
    }


def _head(row: CrossValidation, counts: Mapping[State, int]) -> dict[str, Any]:
    address = f"/v1/cross_validations/{row.id}"
    terminal = all(state in TERMINAL for state in counts)
    return {
        "id": row.id,
        "name": row.name,
        "created_at": iso_time(row.created_at),
        "dataset": row.dataset_id,
        "folds": row.folds,
        "counts": {state.value: counts[state] for state in State if counts.get(state)},
        "deleted": row.folds - sum(counts.values()),
        "terminal": terminal,
        "links": {
            "self": address,
            "dataset": f"/v1/datasets/{row.dataset_id}",
            "jobs": f"/v1/jobs?cross_validation={row.id}",
            **({} if terminal else {"cancel": f"{address}/cancel"}),
        },
    }


def _fold(job: FoldJob) -> dict[str, Any]:
    best = job.best if job.state in WITH_RESULTS else None
    return {
        "fold": job.number,
        "job": job.id,
        "state": job.state,
        "fraction": fraction(job),
        "epoch": job.epoch,
        "validation_rows": job.validation_rows,
        "reason": None if job.reason is None else {"code": job.reason[0], "message": job.reason[1]},
        "best": best and measured(best),
        "test": best and best.values.get("test"),
    }


def _summary(jobs: Sequence[FoldJob]) -> dict[str, Any]:
    best = [job.best.values for job in jobs if job.state in WITH_RESULTS and job.best is not None]
    tested = [values["test"] for values in best if values.get("test")]
    return {
        "folds": len(best),
        "validation": _spreads([{"loss": values.get("validation_loss"), **(values.get("metrics") or {})} for values in best]),
        "test": _spreads([{"loss": test["loss"], **test["metrics"]} for test in tested]) if tested else None,
    }


def _spreads(measures: Sequence[Mapping[str, float | None]]) -> dict[str, dict[str, Any]]:
    """What several folds say of each name; a name that none has a number for is left out."""
    told: dict[str, list[float]] = {}
    for measure in measures:
        for name, value in measure.items():
            if value is not None:
                told.setdefault(name, []).append(value)
    return {
        name: {
            "mean": fmean(values),
            "standard_deviation": stdev(values) if len(values) > 1 else None,
            "minimum": min(values),
            "maximum": max(values),
            "folds": len(values),
        }
        for name, values in told.items()
    }
