"""/v1/jobs/{id}/snapshots: the parameters that a job left, and how the other views find them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore import checkpoint, formats
from nncore.checkpoint import Snapshot
from nncore.errors import CheckpointMismatch, InvalidFile
from nncore.spec import ResolvedSpec
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.job_document import Tables, values
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath
from service.api.problems import Refusal
from service.kinds import Kind
from service.store import blobs, checkpoints, jobs
from service.store.jobs import JobDetail
from service.store.states import State

resource = blueprint("snapshots", "Parameters at a step, for use.", "/v1/jobs")

SNAPSHOT = Field("best", pattern=r"^(best|last|[0-9]{1,18})$", description="best, last or a step of /snapshots.")
NO_SNAPSHOT = {"_409": "The job has no parameters yet, or kept none."}


class SnapshotDocument(BaseModel):
    """Parameters at a step."""

    model_config = ConfigDict(extra="forbid", title="Snapshot")

    step: int
    epoch: int
    best: bool
    last: bool
    digest: str = Field(description="sha256 of the safetensors file.")
    bytes: int = Field(description="Of the safetensors file.")
    loss: float | None
    validation_loss: float | None
    metrics: dict[str, float | None]
    tables: Tables


class SnapshotList(BaseModel):
    """All snapshots of a job, by step."""

    model_config = ConfigDict(extra="forbid")

    data: list[SnapshotDocument]
    next_cursor: None


@dataclass(frozen=True)
class SnapshotFile:
    """The safetensors file of a snapshot, and what is known of its parameters.

    step, epoch: None of a network that was imported. digest: its sha256 in hexadecimal. values: loss, validation_loss, metrics, tables.
    read: gives the bytes [start, stop). blob_id: where they are stored; None where they were made of a checkpoint.
    """

    step: int | None
    epoch: int | None
    best: bool
    last: bool
    digest: str
    size_bytes: int
    values: dict[str, Any]
    read: Callable[[int, int], Iterable[bytes]]
    blob_id: str | None = None

    def content(self) -> bytes:
        """All of it."""
        return b"".join(self.read(0, self.size_bytes))


@resource.get("/<job_id>/snapshots", responses={200: json_answer(SnapshotList, "The snapshots."), **refusals(_404="There is no such job.")})
@needs("read")
def list_job_snapshots(path: JobPath) -> Response:
    """List the parameters that a job has: the best, and those of its last step.

    Of a job that left none (yet), those in its newest checkpoint.
    """
    here = context()
    found = snapshot_files(here, jobs.get(here.store, tenant_id(), path.job_id))
    return answer(encode({"data": [document(each) for each in found], "next_cursor": None}))


def document(found: SnapshotFile) -> dict[str, Any]:
    """The snapshot as the API shows it."""
    return {
        "step": found.step,
        "epoch": found.epoch,
        **values(found.values),
        "tables": found.values.get("tables") or {},
        "best": found.best,
        "last": found.last,
        "digest": f"sha256:{found.digest}",
        "bytes": found.size_bytes,
    }


def snapshot_file(here: Context, detail: JobDetail, which: str) -> SnapshotFile:
    """The file of the best or last parameters or of those at a step. Raises Refusal: 409 when there are none, 404 when not at that step."""
    steps = []
    for found in snapshot_files(here, detail):
        if which == str(found.step) or (which == "best" and found.best) or (which == "last" and found.last):
            return found
        steps.append(found.step)
    job = detail.job
    if steps:
        raise Refusal(404, "no_such_snapshot", f"Job {job.id} has no snapshot {which}. It has: best, last, {', '.join(map(str, steps))}.")
    training_of(detail)
    reason = "has no parameters yet; try again when it has trained for some seconds"
    if job.state in (State.CANCELLED, State.FAILED, State.STOPPED):
        reason = "kept no parameters"
    raise Refusal(409, "no_snapshot", f"Job {job.id} is {job.state} and {reason}.", state=job.state)


def snapshot_files(here: Context, detail: JobDetail) -> Iterator[SnapshotFile]:
    """What a job left, by step; of one that left nothing (yet), the best and the last parameters of its newest checkpoint, if it has one.

    Raises Refusal (409) where the checkpoint cannot be used.
    """
    for row in detail.snapshots:
        read = partial(blobs.read, here.store, row.blob_id)
        yield SnapshotFile(row.step, row.epoch, row.best, row.last, row.digest, row.bytes, row.values, read, row.blob_id)
    job = detail.job
    if job.kind != Kind.TRAIN:
        return
    newest = None if detail.snapshots or job.state == State.CANCELLED else checkpoints.newest(here.store, job.id)
    if newest is None:
        return
    spec = ResolvedSpec.model_validate(detail.spec)
    try:
        state = checkpoint.decode(newest[2])
        best, last = (checkpoint.artifact_from(spec, state, which) for which in ("best", "last"))
    except (CheckpointMismatch, InvalidFile) as error:
        raise Refusal(409, "no_snapshot", f"The newest checkpoint of job {job.id} cannot be used: {error}", state=job.state) from error
    if best.step != last.step:
        yield _made(best, best=True, last=False)
    yield _made(last, best=best.step == last.step, last=True)


def training_of(detail: JobDetail) -> JobDetail:
    """The same. Raises Refusal (409) where the job trains no network."""
    if detail.job.kind != Kind.TRAIN:
        message = f"Job {detail.job.id} is of the kind {detail.job.kind}; only trainings have parameters, a split and further epochs."
        raise Refusal(409, "other_kind", message, kind=detail.job.kind)
    return detail


def _made(found: Snapshot, *, best: bool, last: bool) -> SnapshotFile:
    data = formats.write(found.artifact, "safetensors")
    known = {"loss": found.loss, "validation_loss": found.validation_loss, "metrics": found.metrics, "tables": found.tables}
    digest = hashlib.sha256(data).hexdigest()
    return SnapshotFile(found.step, found.epoch, best, last, digest, len(data), known, lambda start, stop: [data[start:stop]])
