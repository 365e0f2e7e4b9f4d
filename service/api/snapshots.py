"""/v1/jobs/{id}/snapshots: the parameters that a job left, and how the other views find them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore import checkpoint, formats
from nncore.errors import CheckpointMismatch, InvalidFile
from nncore.spec import ResolvedSpec
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.job_document import Tables, measured
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath
from service.api.problems import Refusal
from service.store import blobs, checkpoints, jobs
from service.store.jobs import JobDetail
from service.store.models import Snapshot
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
    """The safetensors file of a snapshot. digest: its sha256 in hexadecimal. read: gives the bytes [start, stop)."""

    step: int
    digest: str
    size_bytes: int
    read: Callable[[int, int], Iterable[bytes]]

    def content(self) -> bytes:
        """All of it."""
        return b"".join(self.read(0, self.size_bytes))


@resource.get("/<job_id>/snapshots", responses={200: json_answer(SnapshotList, "The snapshots."), **refusals(_404="There is no such job.")})
@needs("read")
def list_job_snapshots(path: JobPath) -> Response:
    """List the parameters that a job left when it ended: the best, and those of its last step."""
    detail = jobs.get(context().store, tenant_id(), path.job_id)
    return answer(encode({"data": [document(snapshot) for snapshot in detail.snapshots], "next_cursor": None}))


def document(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as the API shows it."""
    return {
        **measured(snapshot),
        "best": snapshot.best,
        "last": snapshot.last,
        "digest": f"sha256:{snapshot.digest}",
        "bytes": snapshot.bytes,
    }


def snapshot_file(here: Context, detail: JobDetail, which: str) -> SnapshotFile:
    """The file of the best or last parameters or of those at a step; of a job that left none (yet), out of its newest checkpoint.

    Raises Refusal: 409 when there are none, 404 when there are none at that step.
    """
    for row in detail.snapshots:
        if which == str(row.step) or (which == "best" and row.best) or (which == "last" and row.last):
            return SnapshotFile(row.step, row.digest, row.bytes, partial(blobs.read, here.store, row.blob_id))
    steps = [row.step for row in detail.snapshots]
    if not steps:
        for kind in ("best", "last"):
            found = _of_checkpoint(here, detail, kind)
            if which in (kind, str(found.step)):
                return found
            steps.append(found.step)
    raise Refusal(
        404, "no_such_snapshot", f"Job {detail.job.id} has no snapshot {which}. It has: best, last, {', '.join(map(str, steps))}."
    )


def _of_checkpoint(here: Context, detail: JobDetail, which: str) -> SnapshotFile:
    job = detail.job
    newest = None if job.state == State.CANCELLED else checkpoints.newest(here.store, job.id)
    if newest is None:
        reason = "has no parameters yet; try again when it has trained for some seconds"
        if job.state in (State.CANCELLED, State.FAILED, State.STOPPED):
            reason = "kept no parameters"
        raise Refusal(409, "no_snapshot", f"Job {job.id} is {job.state} and {reason}.", state=job.state)
    try:
        state = checkpoint.decode(newest[2])
        found = checkpoint.artifact_from(ResolvedSpec.model_validate(detail.spec), state, "best" if which == "best" else "last")
    except (CheckpointMismatch, InvalidFile) as error:
        raise Refusal(409, "no_snapshot", f"The newest checkpoint of job {job.id} cannot be used: {error}", state=job.state) from error
    data = formats.write(found.artifact, "safetensors")
    return SnapshotFile(found.step, hashlib.sha256(data).hexdigest(), len(data), lambda start, stop: [data[start:stop]])
