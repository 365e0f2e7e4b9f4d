"""A job as the API shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nncore.spec import ResolvedSpec
from service.api.answers import iso_time
from service.kinds import ExplanationSpec, Kind, PredictionSpec
from service.store.cross_validations import FoldJob
from service.store.jobs import JobDetail
from service.store.models import Job, Snapshot
from service.store.states import TERMINAL, State, allowed_actions

PARTS = {
    Kind.TRAIN: (
        *("events", "history", "metrics", "snapshots", "split", "audit"),
        *("assessment", "card", "weights", "predict", "predictions", "explain"),
    ),
    Kind.PREDICT: ("events", "history", "predictions"),
    Kind.EXPLAIN: ("events", "history", "explanation"),
}

UNTOLD: dict[str, Any] = {"remedy": None, "columns": [], "rows": [], "count": 0}  # what findings did not always say

Tables = Annotated[dict[str, Any], Field(description="Metrics that are more than a number: confusion_matrix, per_class.")]


class Reason(BaseModel):
    """Why a job failed."""

    code: str = Field(description="diverged, worker_lost, out_of_memory, deadline, invalid_data or internal")
    message: str


class Progress(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(extra="forbid")

    fraction: float = Field(description="Steps done, of all; 0 to 1, and 1 when training has ended early.")
    epoch: int = Field(description="Epochs completed.")
    epochs: int
    step: int = Field(description="Updates of the parameters so far; of a prediction rows, of an explanation parts that are answered.")
    steps: int
    loss: float | None = Field(description="Mean training loss of the present epoch so far.")
    validation_loss: float | None
    metrics: dict[str, float | None] = Field(description="Of the validation rows where there are any, else of the training rows.")
    tables: Tables
    learning_rate: float | None = Field(description="Of the last step.")
    steps_per_second: float | None
    eta_seconds: float | None = Field(description="Left at this rate, while it runs.")
    eta_p50_seconds: float | None = Field(description="Left at the median of its last 32 rates, each of about half a second.")
    eta_p90_seconds: float | None = Field(
        description="Left at the rate that nine in ten of those exceed. Waiting in the queue is not in it."
    )


class Queue(BaseModel):
    """Where a queued job stands."""

    jobs_ahead: int
    held_by: str | None = Field(
        description="The quota of your tenant for which it stays in the queue: running_jobs or worker_seconds_per_day."
    )


class Measured(BaseModel):
    """What is known of a snapshot's parameters."""

    model_config = ConfigDict(extra="forbid")

    step: int
    epoch: int
    loss: float | None
    validation_loss: float | None
    metrics: dict[str, float | None]
    tables: Tables


class Tested(BaseModel):
    """What the best parameters are worth on the rows that were kept for the end."""

    model_config = ConfigDict(extra="forbid")

    rows: int
    loss: float | None
    metrics: dict[str, float | None]
    tables: Tables


class Warned(BaseModel):
    """Something about the job's data that would teach a network wrong priorities."""

    model_config = ConfigDict(extra="forbid", title="ResultFinding")

    code: str
    severity: Literal["warning", "error"] = Field(description="error: the result cannot be trusted.")
    message: str
    remedy: str | None = Field(description="What to do; null of jobs that ended before it was kept here.")
    columns: list[str] = Field(description="Those concerned.")
    rows: list[int] = Field(description="The first of the rows concerned, from 0.")
    count: int = Field(description="Of how many rows, or groups, it is true.")


class Result(BaseModel):
    """The parameters that a job left: the best ones, and those of its last step."""

    best: Measured | None
    last: Measured | None
    test: Tested | None = Field(description="Where the spec keeps rows for a `test`: the best parameters, judged on them once.")
    findings: list[Warned] = Field(description="What is wrong with its data, the worst first; `assessment` says it in full.")


class ParentDocument(BaseModel):
    """The job, or the version of a model, that another goes on from."""

    model_config = ConfigDict(extra="forbid", title="Parent")

    job: str | None = Field(description="Null where the network of a version was imported.")
    model: str | None = Field(None, description="Where a version of a model was named.")
    version: int | None = Field(None, description="Its number.")
    step: int | None = Field(description="Where it goes on; null where the network was imported.")
    epoch: int | None = Field(description="The epochs that were complete there.")
    continues: Literal["exactly", "parameters"] = Field(
        description="exactly: the same run, bit for bit, with more epochs; steps and epochs count on. parameters: a run of its own, that "
        "begins with the parameters found there."
    )
    preprocessing: Literal["kept", "fitted"] | None = Field(
        None, description="kept: inputs are made with the means, categories and scales of the parent. fitted: with those of its own data."
    )
    further_epochs: int = Field(description="How many epochs were asked for beyond that.")
    from_checkpoint: int | None = Field(
        description="The step of the checkpoint that it begins with: what lies before `step` is gone through again. Null: its seed."
    )


class JobDocument(BaseModel):
    """A job."""

    model_config = ConfigDict(extra="forbid", title="Job")

    id: str
    kind: Kind = Field(description="What it does; other kinds may come.")
    name: str | None
    tags: dict[str, Any]
    priority: int
    revision: int = Field(description="Raised by every change of name, tags, priority or deadline.")
    deadline: str | None = Field(description="When it fails, unless it has ended.")
    dataset: str
    state: State = Field(description="More states may come: go by `terminal` and `allowed_actions`.")
    terminal: bool = Field(description="Whether it has ended: nothing about it changes any more.")
    allowed_actions: list[str] = Field(description="What it can be asked now.")
    reason: Reason | None = Field(description="Why it failed.")
    created_at: str
    started_at: str | None = Field(description="When a worker first took it.")
    finished_at: str | None
    heartbeat_at: str | None = Field(description="When its worker was last heard of.")
    progress: Progress
    queue: Queue | None = Field(description="While it is queued.")
    losses: int = Field(description="How often in a row its worker was lost without a newer checkpoint.")
    slices: int = Field(description="How often a worker took it.")
    trained_seconds: float
    result: Result | None = Field(description="Once it has ended with parameters.")
    parent: ParentDocument | None = Field(description="The job that it goes on from.")
    cross_validation: str | None = Field(description="The cross-validation that it is a fold of; `spec.fold` says which one.")
    spec: ResolvedSpec | PredictionSpec | ExplanationSpec = Field(
        description="What is done, with every default written in; what it holds goes by `kind`."
    )
    links: dict[str, str]


def document(detail: JobDetail) -> dict[str, Any]:
    """The job as JSON. It depends on nothing but what is stored, so that an unchanged job is shown by unchanged bytes."""
    job = detail.job
    state = State(job.state)
    actions = allowed_actions(state)
    address = f"/v1/jobs/{job.id}"
    return {
        "id": job.id,
        "kind": job.kind,
        "name": job.name,
        "tags": job.tags,
        "priority": job.priority,
        "revision": job.revision,
        "deadline": iso_time(job.deadline_at),
        "dataset": job.dataset_id,
        "state": state,
        "terminal": state in TERMINAL,
        "allowed_actions": actions,
        "reason": None if job.reason_code is None else {"code": job.reason_code, "message": job.reason_message or ""},
        "created_at": iso_time(job.created_at),
        "started_at": iso_time(job.started_at),
        "finished_at": iso_time(job.finished_at),
        "heartbeat_at": iso_time(job.heartbeat_at),
        "progress": progress(job),
        "queue": None if detail.jobs_ahead is None else {"jobs_ahead": detail.jobs_ahead, "held_by": detail.held_by},
        "losses": job.losses,
        "slices": job.slices,
        "trained_seconds": round(job.trained_seconds, 3),
        "result": result(detail.snapshots),
        "parent": job.parent,
        "cross_validation": job.cross_validation_id,
        "spec": detail.spec,
        "links": {
            "self": address,
            "dataset": f"/v1/datasets/{job.dataset_id}",
            **_parent_of(job.parent),
            **({"cross_validation": f"/v1/cross_validations/{job.cross_validation_id}"} if job.cross_validation_id else {}),
            **{part: f"{address}/{part}" for part in PARTS[Kind(job.kind)]},
            **_network_of(detail.spec),
            **{action.value: f"{address}/{action}" for action in actions},
        },
    }


def _parent_of(parent: dict[str, Any] | None) -> dict[str, str]:
    """Where that lies which a job goes on from."""
    if parent is None:
        return {}
    if parent["job"] is not None:
        return {"parent": f"/v1/jobs/{parent['job']}"}
    return {"parent": f"/v1/models/{parent['model']}/versions/{parent['version']}"}


def _network_of(spec: dict[str, Any]) -> dict[str, str]:
    """Where the network lies that a job works with, which trains none."""
    source = spec["network"]
    if source.get("model") is not None:
        return {"network": f"/v1/models/{source['model']}/versions/{source['version']}"}
    return {} if source.get("job") is None else {"network": f"/v1/jobs/{source['job']}"}


def progress(job: Job) -> dict[str, Any]:
    """How far the job is."""
    rate = job.progress.get("steps_per_second")
    return {
        "fraction": fraction(job),
        "epoch": job.epoch,
        "epochs": job.epochs,
        "step": job.step,
        "steps": job.steps,
        **values(job.progress),
        "tables": job.progress.get("tables") or {},
        "learning_rate": job.progress.get("learning_rate"),
        "steps_per_second": rate,
        "eta_seconds": _left(job, rate),
        "eta_p50_seconds": _left(job, job.progress.get("median_rate")),
        "eta_p90_seconds": _left(job, job.progress.get("slow_rate")),
    }


def fraction(job: Job | FoldJob) -> float:
    """Steps done, of all; 1 of a training that has ended early."""
    return 1.0 if job.state == State.SUCCEEDED or not job.steps else job.step / job.steps


def _left(job: Job, rate: float | None) -> float | None:
    return round((job.steps - job.step) / rate, 1) if rate and job.state == State.RUNNING else None


def measured(snapshot: Snapshot) -> dict[str, Any]:
    """What is known of a snapshot's parameters."""
    return {"step": snapshot.step, "epoch": snapshot.epoch, **values(snapshot.values), "tables": snapshot.values.get("tables") or {}}


def values(reported: dict[str, Any]) -> dict[str, Any]:
    """Losses and metrics out of what was reported."""
    return {"loss": reported.get("loss"), "validation_loss": reported.get("validation_loss"), "metrics": reported.get("metrics") or {}}


def result(snapshots: Sequence[Snapshot]) -> dict[str, Any] | None:
    """What the best and the last of them are; None where there are none."""
    if not snapshots:
        return None
    best = next((snapshot for snapshot in snapshots if snapshot.best), None)
    last = next((measured(snapshot) for snapshot in snapshots if snapshot.last), None)
    known = best.values if best else {}
    findings = [UNTOLD | finding for finding in known.get("findings") or []]
    return {"best": best and measured(best), "last": last, "test": known.get("test"), "findings": findings}
