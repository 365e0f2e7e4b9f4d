"""/v1/models/{model}/versions: trained networks of a model, and what uses one of them: weights and predictions."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nncore import formats
from nncore.errors import Fault, InvalidData
from nncore.formats.importing import NetworkDefinition
from nncore.spec import faults_of
from service.api import idempotency, signature
from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.examples import JOB
from service.api.imports import sent_file
from service.api.job_document import Tables, values
from service.api.jobs import limits
from service.api.keys import BODY_FAULTS
from service.api.long_poll import IF_NONE_MATCH
from service.api.models import Description
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, reference, refusals
from service.api.parameters import ALIAS, ModelPath, Page, Parameters, VersionPath, known_id
from service.api.parents import Step
from service.api.predict import ANSWER, BODY, FAULTS, AnswerQuery, asked, predicted
from service.api.predictions import EXAMPLES, QUEUED, BatchOfModel, queued
from service.api.problems import invalid, invalid_parameters
from service.api.snapshots import NO_SNAPSHOT, SnapshotFile, snapshot_file
from service.api.weights import ANSWERS, IF_RANGE, RANGE, FormatQuery, weights_answer
from service.kinds import NetworkSource
from service.store import blobs, jobs, named_models, quotas
from service.store import idempotency as keys
from service.store import model_versions as stored
from service.store.idempotency import Created, Once
from service.store.model_versions import NewVersion, VersionDetail
from service.store.models import ModelVersion

resource = blueprint("versions", "Trained networks of a model, and their use.", "/v1/models")

CREATE = {"best": ("The best parameters of a job", {"job": JOB, "step": "best"})}
FORM = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "A safetensors or npz file."},
        "definition": reference(NetworkDefinition),  # as JSON
        "description": {"type": "string"},
    },
    "required": ["file"],
}
NO_VERSION = "There is no such model, version or alias."


class Imported(BaseModel):
    """A file in which a network came from elsewhere."""

    model_config = ConfigDict(extra="forbid", title="ImportedFile")

    file: str | None = Field(description="What it was called.")
    format: Literal["safetensors", "npz"]
    digest: str = Field(description="Its sha256, as it was sent.")
    bytes: int
    described: bool = Field(description="Whether it said itself what it was; else a definition was sent with it.")


class VersionDocument(BaseModel):
    """A version of a model."""

    model_config = ConfigDict(extra="forbid", title="ModelVersion")

    model: str
    version: int
    aliases: list[str] = Field(description="That stand for it now.")
    description: str | None
    job: str | None = Field(description="That trained it; null where it was imported.")
    step: int | None
    epoch: int | None
    imported: Imported | None = Field(description="The file that it came as; null where a job trained it.")
    signature: signature.Signature
    digest: str = Field(description="sha256 of the safetensors file.")
    bytes: int = Field(description="Of the safetensors file.")
    loss: float | None
    validation_loss: float | None
    metrics: dict[str, float | None]
    tables: Tables
    created_at: str
    links: dict[str, str]


class VersionList(BaseModel):
    """A page of versions, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[VersionDocument]
    next_cursor: int | None


class VersionBody(BaseModel):
    """A version to be added: parameters of a job."""

    model_config = ConfigDict(extra="forbid")

    job: str = Field(description="The job's id.")
    step: Step = Field("best", description="`best`, `last`, or a step of which the job has a snapshot.")
    description: Description | None = None


class VersionDeleted(BaseModel):
    """What was deleted."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: int
    freed_bytes: int = Field(description="0 where they are a job's snapshot still.")


class VersionsQuery(Page):
    cursor: int | None = Field(None, ge=1, le=2**53, description="`next_cursor` of the page before.")


class WhichVersion(Parameters):
    """Which version of the model: an alias or a number, not both; without either the newest."""

    alias: str | None = Field(None, pattern=ALIAS, description="The version that this alias stands for.")
    version: int | None = Field(None, ge=1, le=2**53, description="The version of this number. Without either, the newest.")

    def found(self, here: Context, model: str) -> VersionDetail:
        """The version that is meant. Raises NotFound, or Refusal (422) where both are given."""
        if self.alias is not None and self.version is not None:
            raise invalid_parameters([Fault("/alias", "two_versions", "expected an alias or a version, got both", "one of them", "both")])
        return stored.get(here.store, tenant_id(), model, self.version or self.alias)


class WeightsOfVersion(WhichVersion, FormatQuery):
    pass


class AnswerOfVersion(WhichVersion, AnswerQuery):
    pass


CREATE_BODY = json_body(VersionBody, CREATE)
CREATE_BODY["content"]["multipart/form-data"] = {"schema": FORM}


@resource.post(
    "/<model>/versions",
    request_body=CREATE_BODY,
    responses={
        201: json_answer(VersionDocument, "The version.", headers={"Location": "Where it is.", "ETag": "The sha256 of this answer."}),
        **refusals(_404="There is no such model, job or snapshot.", **NO_SNAPSHOT, **BODY_FAULTS, _507="No room left."),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_model_version(path: ModelPath) -> Response:
    """Add parameters of a job, or a file, as the next version of a model.

    A version never changes, and needs nothing of its job any more: of a job that left no snapshot (yet) it is a copy of what its newest
    checkpoint holds; else both are the same bytes, which are kept until neither is there and count as stored once.

    A network from elsewhere comes as a form: in the part `file` a safetensors or npz file, in the part `definition` what its tensors mean,
    as JSON. Names and shapes of the tensors are those that the definition asks for, as in the equal torch.nn.Sequential; a file that was
    written here needs no definition. `description` is text.
    """
    if request.mimetype == "multipart/form-data":
        return _created_of_file(path)
    try:
        return _created(path, VersionBody.model_validate(request.get_json()))
    except ValidationError as error:
        raise invalid(faults_of(error, model=VersionBody)) from None


def _created(path: ModelPath, body: VersionBody) -> Response:
    """201: parameters of a job as a version."""
    here, owner = context(), tenant_id()
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    made = once and keys.earlier(here.store, owner, once)
    if not made:
        detail = jobs.get(here.store, owner, known_id("job", body.job))
        found = snapshot_file(here, detail, str(body.step))
        new = NewVersion(
            tenant_id=owner,
            model=path.model,
            description=body.description,
            digest=found.digest,
            bytes=found.size_bytes,
            values=found.values,
            signature=signature.of_spec(detail.spec),
            blob_id=found.blob_id or "",
            job_id=detail.job.id,
            step=found.step,
            epoch=found.epoch,
        )
        made = add(here, new, found, once)
    return idempotency.created(made, 201, f"/v1/models/{path.model}/versions/{made.id}")


def _created_of_file(path: ModelPath) -> Response:
    """201: the network of a file as a version."""
    here, owner = context(), tenant_id()
    with sent_file(here) as sent:
        once = idempotency.once(sent.digest)
        made = once and keys.earlier(here.store, owner, once)
        if not made:
            named_models.get(here.store, owner, path.model)
            quotas.room_is_left(here.store, owner, sent.bytes)
            artifact = sent.read(limits(here.settings))
            data = formats.write(artifact, "safetensors")
            digest = hashlib.sha256(data).hexdigest()
            found = SnapshotFile(None, None, False, False, digest, len(data), {}, lambda start, stop: [data[start:stop]])
            new = NewVersion(
                tenant_id=owner,
                model=path.model,
                description=sent.description,
                digest=digest,
                bytes=len(data),
                values={},
                signature=signature.of_network(artifact),
                blob_id="",
                job_id=None,
                step=None,
                epoch=None,
                imported=sent.told(),
            )
            made = add(here, new, found, once)
    return idempotency.created(made, 201, f"/v1/models/{path.model}/versions/{made.id}")


@resource.get(
    "/<model>/versions", responses={200: json_answer(VersionList, "A page of versions."), **refusals(_404="There is no such model.")}
)
@needs("read")
def list_model_versions(path: ModelPath, query: VersionsQuery) -> Response:
    """List the versions of a model with their metrics, newest first."""
    found = stored.page(context().store, tenant_id(), path.model, limit=query.limit + 1, before=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].row.version if len(found) > query.limit else None
    return answer(encode({"data": [document(detail) for detail in shown], "next_cursor": cursor}))


@resource.get("/<model>/versions/<version>", responses={200: json_answer(VersionDocument, "The version."), **refusals(_404=NO_VERSION)})
@needs("read")
def get_model_version(path: VersionPath) -> Response:
    """Describe a version of a model: where it comes from, its digest, its metrics."""
    return answer(encode(document(stored.get(context().store, tenant_id(), path.model, int(path.version)))))


@resource.delete(
    "/<model>/versions/<version>",
    responses={200: json_answer(VersionDeleted, "What was freed."), **refusals(_404=NO_VERSION, _409="An alias stands for it.")},
)
@needs("write")
def delete_model_version(path: VersionPath) -> Response:
    """Delete a version for good. Its number is not given again."""
    freed_bytes = stored.remove(context().store, tenant_id(), path.model, int(path.version))
    return answer(encode({"model": path.model, "version": int(path.version), "freed_bytes": freed_bytes}))


@resource.get("/<model>/weights", responses={**ANSWERS, **refusals(_404=NO_VERSION)})
@reads_headers(IF_NONE_MATCH, RANGE, IF_RANGE)
@needs("read")
def get_model_weights(path: ModelPath, query: WeightsOfVersion) -> Response:
    """Fetch the parameters of the version that an alias stands for, of a numbered one, or of the newest. As those of a job."""
    here = context()
    row = query.found(here, path.model).row
    filename = f"{row.model}-{row.version}"
    return weights_answer(here, file_of(here, row), query.format, filename=filename, target=row.model, version=row.version)


@resource.post(
    "/<model>/predict",
    request_body=BODY,
    responses={200: ANSWER, **FAULTS, **refusals(_404=f"{NO_VERSION} Or no such dataset.")},
)
@needs("read")
def predict_with_model(path: ModelPath, query: AnswerOfVersion) -> Response:
    """Ask the version that an alias stands for, a numbered one, or the newest. As a job is asked."""
    here, body = context(), asked()
    row = query.found(here, path.model).row
    response = predicted(here, file_of(here, row), query.format, body)
    response.headers["Sankofa-Version"] = str(row.version)
    return response


@resource.post(
    "/<model>/predictions",
    request_body=json_body(BatchOfModel, EXAMPLES),
    responses={**QUEUED, **refusals(_404=f"{NO_VERSION} Or no such dataset.")},
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_model_predictions(path: ModelPath, query: WhichVersion, body: BatchOfModel) -> Response:
    """Queue a prediction for every row of a dataset by the version that an alias stands for, a numbered one, or the newest.

    A job of the kind `predict`, as `POST /v1/jobs/{id}/predictions` makes one. The version is that of the moment: who moves the alias
    afterwards changes no answer. A network that was imported was trained on no dataset here, so one has to be named.
    """
    here, owner = context(), tenant_id()
    row = query.found(here, path.model).row
    dataset = body.dataset
    if dataset is None and row.job_id is None:
        message = f"{row.model}@{row.version} was imported, so there is no dataset that it was trained on; name one"
        raise InvalidData(Fault("/dataset", "missing", message, "the id of a dataset", "none"))
    if dataset is None:
        dataset = jobs.row(here.store, owner, str(row.job_id)).dataset_id

    def network() -> tuple[SnapshotFile, NetworkSource]:
        return file_of(here, row), source_of(row)

    return queued(here, network, body, dataset)


def add(here: Context, new: NewVersion, found: SnapshotFile, once: Once | None) -> Created:
    """Add a version whose bytes, where they are none of a snapshot, are written first. Raises NotFound, QuotaExceeded."""
    if found.blob_id is not None:
        return stored.create(here.store, new, answer=lambda detail: encode(document(detail)), once=once)
    quotas.room_is_left(here.store, new.tenant_id, new.bytes)
    new = replace(new, blob_id=blobs.write(here.store, found.read(0, found.size_bytes)))
    return blobs.named_by(
        here.store, new.blob_id, partial(stored.create, here.store, new, answer=lambda detail: encode(document(detail)), once=once)
    )


def file_of(here: Context, row: ModelVersion) -> SnapshotFile:
    """The file of a version."""
    read = partial(blobs.read, here.store, row.blob_id)
    return SnapshotFile(row.step, row.epoch, False, False, row.digest, row.bytes, row.values, read, row.blob_id)


def source_of(row: ModelVersion) -> NetworkSource:
    """The version, as a job that works with its network names it."""
    return NetworkSource(job=row.job_id, step=row.step, model=row.model, version=row.version, digest=f"sha256:{row.digest}")


def document(detail: VersionDetail) -> dict[str, Any]:
    """The version as the API shows it."""
    row = detail.row
    address = f"/v1/models/{row.model}"
    return {
        "model": row.model,
        "version": row.version,
        "aliases": list(detail.aliases),
        "description": row.description,
        "job": row.job_id,
        "step": row.step,
        "epoch": row.epoch,
        "imported": row.imported,
        "signature": row.signature,
        "digest": f"sha256:{row.digest}",
        "bytes": row.bytes,
        **values(row.values),
        "tables": row.values.get("tables") or {},
        "created_at": iso_time(row.created_at),
        "links": {
            "self": f"{address}/versions/{row.version}",
            "model": address,
            **({} if row.job_id is None else {"job": f"/v1/jobs/{row.job_id}"}),
            **{part: f"{address}/{part}?version={row.version}" for part in ("weights", "predict", "predictions", "explain", "card")},
        },
    }
