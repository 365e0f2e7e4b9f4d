"""/v1/jobs/{id}/predictions: a trained network answers for every row of a dataset, as a job; and its answers as files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from math import prod
from typing import Annotated, Any, Literal

from flask import Response, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidData, InvalidFile
from nncore.faults import counted, short
from nncore.formats import safetensors
from nncore.predictions import FILES, outputs_from
from nncore.predictor import Predictor
from service.api import idempotency
from service.api.access_log import about
from service.api.answers import chosen, encode
from service.api.authentication import needs, tenant_id
from service.api.columns import first_rows
from service.api.conditional import file_answer
from service.api.context import Context, context
from service.api.examples import DATASET
from service.api.job_document import JobDocument, document
from service.api.jobs import JOB, MOST_TAGS, TagName, TagValue, few
from service.api.long_poll import IF_NONE_MATCH
from service.api.openapi import answer, blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import JobPath, Parameters, known_id
from service.api.problems import Refusal
from service.api.snapshots import SNAPSHOT, SnapshotFile, snapshot_file
from service.api.uploads import Name
from service.api.weights import IF_RANGE, RANGE
from service.kinds import Kind, NetworkSource, PredictionSpec
from service.store import blobs, checkpoints, datasets, files, jobs, quotas
from service.store import idempotency as keys
from service.store.jobs import JobDetail, NewJob, Start
from service.store.models import Dataset

resource = blueprint("batches", "Answers for whole datasets.", "/v1/jobs")

KINDS = {"csv": "text/csv", "npz": "application/x-npz"}
CONTENT = {
    "text/csv": {"schema": {"type": "string"}, "example": "label,probability.door,probability.window\r\ndoor,0.75,0.25\r\n"},
    "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
}
HEADERS = {"ETag": "The sha256 of the file.", "Content-Disposition": "A name for the file.", "Accept-Ranges": "bytes"}
EXAMPLES = {"dataset": ("Every row of a dataset", {"dataset": DATASET, "name": "tonight"})}


class BatchOfModel(BaseModel):
    """What a version of a model is to answer for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dataset: str | None = Field(None, description="The dataset's id; null: the one that the network was trained on.")
    name: Name | None = Field(None, description="What to call the job.")
    tags: Annotated[dict[TagName, TagValue], BeforeValidator(few)] = Field(
        default_factory=dict, max_length=MOST_TAGS, description="Words of your own."
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first; waiting 10 minutes counts as one more.")


class BatchBody(BatchOfModel):
    """What to answer for."""

    snapshot: str = SNAPSHOT


class PredictionsQuery(Parameters):
    format: Literal["csv", "npz"] | None = Field(None, description="Goes before `Accept`.")


QUEUED: dict[Any, Any] = {
    202: json_answer(JobDocument, "The job; it is queued.", headers=JOB),
    **refusals(
        _400="The body is not JSON.",
        _404="There is no such job, snapshot or dataset.",
        _409="The job has no parameters yet, or kept none.",
        _413="The body is larger than the server takes.",
        _415="The body is not application/json.",
        _422="The dataset is not such as the network reads: `errors` names every column.",
        _507="No room left.",
    ),
}


@resource.post("/<job_id>/predictions", request_body=json_body(BatchBody, EXAMPLES), responses=QUEUED)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_predictions(path: JobPath, body: BatchBody) -> Response:
    """Queue a prediction for every row of a dataset.

    It is a job of the kind `predict`: it can be watched, paused, resumed, cancelled and deleted as any job is, its `step` counts rows, and
    stopped it keeps the rows that are answered. The network is copied when the job is accepted. `GET .../predictions` of that job has the
    answers.
    """
    here = context()
    detail = jobs.get(here.store, tenant_id(), path.job_id)

    def network() -> tuple[SnapshotFile, NetworkSource]:
        found = snapshot_file(here, detail, body.snapshot)
        return found, NetworkSource(job=path.job_id, step=found.step, digest=f"sha256:{found.digest}")

    return queued(here, network, body, body.dataset or detail.job.dataset_id)


def queued(here: Context, network: Callable[[], tuple[SnapshotFile, NetworkSource]], body: BatchOfModel, dataset_id: str) -> Response:
    """202: the job that answers with this network, queued; or the answer that an equal request got before."""
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    made = once and keys.earlier(here.store, tenant_id(), once)
    if not made:
        found, source = network()
        data = found.content()
        artifact = safetensors.read(data)
        dataset = datasets.get(here.store, tenant_id(), known_id("dataset", dataset_id))
        check_dataset(here, artifact, dataset)
        spec = PredictionSpec(
            network=source,
            inputs=list(artifact.input_names),
            target=artifact.target,
            classes=None if artifact.classes is None else list(artifact.classes),
            dtype=artifact.dtype,
            rows=dataset.rows,
            outputs=prod(artifact.network.output_shape(artifact.input_shape)),
        )
        quotas.room_is_left(here.store, tenant_id(), len(data))
        new = NewJob(
            tenant_id=tenant_id(),
            dataset_id=dataset.id,
            kind=Kind.PREDICT,
            spec=spec.model_dump(mode="json"),
            steps=dataset.rows,
            epochs=1,
            name=body.name,
            tags=dict(body.tags),
            priority=body.priority,
            start=Start(0, 0, hashlib.sha256(data).hexdigest(), len(data), blob_id := blobs.write(here.store, [data])),
        )
        create = partial(jobs.create, here.store, new, answer=lambda detail: encode(document(detail)), once=once)
        made = blobs.named_by(here.store, blob_id, create)
        about(dataset_id=dataset.id)
    about(job_id=made.id)
    here.waker.wake()
    return idempotency.created(made, 202, f"/v1/jobs/{made.id}")


def check_dataset(here: Context, artifact: Artifact, dataset: Dataset) -> None:
    """Raise InvalidData where the network cannot read the dataset's columns; what single rows hold is seen by the job."""
    there = [column["name"] for column in dataset.columns]
    table = first_rows(here.store, dataset, [name for name in artifact.input_names if name in there] or there[:1], 1)
    predictor = Predictor(artifact)
    try:
        predictor.taken(table)
    except InvalidData as refused:
        raise InvalidData(Fault("/dataset", each.code, each.message, each.expected, each.got) for each in refused.faults) from None
    for column in dataset.columns:
        if column.get("missing") and column["name"] in artifact.input_names and not predictor.takes_missing(column["name"]):
            lacking = counted(column["missing"], "number")  # a text may be missing anywhere
            message = f"the column {short(column['name'])} misses {lacking}, and the network was trained without any missing"
            raise InvalidData(Fault("/dataset", "missing_numbers", message, "no missing number", lacking))


@resource.get(
    "/<job_id>/predictions",
    responses={
        200: answer(CONTENT, "The file.", headers=HEADERS),
        206: answer(CONTENT, "The part of the file that was asked for.", headers=HEADERS),
        304: {"description": "The file is what `If-None-Match` says."},
        **refusals(
            _404="There is no such job.",
            _406="No format that is accepted.",
            _409="It is no prediction, or no row is answered (yet).",
            _416="The file has no such part.",
        ),
    },
)
@reads_headers(IF_NONE_MATCH, RANGE, IF_RANGE)
@needs("read")
def get_predictions(path: JobPath, query: PredictionsQuery) -> Response:
    """Fetch the answers of a prediction, a row for each of the dataset, in its order.

    CSV: classes are a column `label` and one of each `probability.NAME`; numbers a column of the target's name (`NAME.0`, ... of several),
    in its own unit. .npz: `outputs`, `probabilities`, `labels`, `classes`. Of a job that has not ended, or was stopped without a worker,
    the rows of its newest checkpoint.
    """
    kind, here = chosen(query.format, KINDS), context()
    detail = jobs.get(here.store, tenant_id(), path.job_id)
    if detail.job.kind != Kind.PREDICT:
        message = f"Job {detail.job.id} is of the kind {detail.job.kind}; POST to this address makes a prediction of it."
        raise Refusal(409, "other_kind", message, kind=detail.job.kind)
    found = files.find(here.store, detail.job.id, f"predictions.{kind}")
    read: Callable[[int, int], Iterable[bytes]]
    if found is not None:
        digest, size, read = found.digest, found.bytes, partial(blobs.read, here.store, found.blob_id)
    else:
        data = _so_far(here, detail, kind)
        digest, size, read = hashlib.sha256(data).hexdigest(), len(data), lambda start, stop: [data[start:stop]]
    response = file_answer(f'"{digest}"', size, read, media_type=KINDS[kind], filename=f"{detail.job.id}.{kind}")
    response.headers["Vary"] = "Accept"
    return response


def _so_far(here: Context, detail: JobDetail, kind: str) -> bytes:
    """The file of the rows that the newest checkpoint holds."""
    job, newest = detail.job, checkpoints.newest(here.store, detail.job.id)
    network = checkpoints.newest(here.store, job.id, until=0)
    if newest is None or network is None or not newest[0] or job.state == "cancelled":
        raise Refusal(409, "no_predictions", f"Job {job.id} is {job.state} and has answered no row that is kept.", state=job.state)
    try:
        artifact = safetensors.read(network[2])
        prediction = Predictor(artifact).read(outputs_from(newest[2], artifact, newest[0]))
    except InvalidFile as error:
        raise Refusal(409, "no_predictions", f"The newest checkpoint of job {job.id} cannot be used: {error}", state=job.state) from error
    return b"".join(FILES[kind](artifact, prediction))
