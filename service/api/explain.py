"""/v1/jobs/{id}/explain and /v1/models/{model}/explain: questions to a trained network, answered at once or as a job."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from flask import Response, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidData
from nncore.explanation import ExplainSpec, Parts, Sample, explanation, of_rows
from nncore.formats import safetensors
from nncore.losses import LossSpec
from nncore.predictor import Predictor
from nncore.spec import ResolvedSpec
from service.api import data_report, idempotency
from service.api.access_log import about
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.conditional import file_answer
from service.api.context import Context, context
from service.api.job_document import JobDocument, document
from service.api.jobs import JOB, MOST_TAGS, NO_JOB, TagName, TagValue, few
from service.api.long_poll import IF_NONE_MATCH
from service.api.model_versions import NO_VERSION, WhichVersion, file_of, source_of
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import JobPath, ModelPath, known_id
from service.api.predictions import check_dataset
from service.api.problems import Refusal
from service.api.snapshots import SNAPSHOT, SnapshotFile, snapshot_file, training_of
from service.api.uploads import Name
from service.api.weights import IF_RANGE, RANGE
from service.kinds import ExplanationSpec, Kind, NetworkSource
from service.store import blobs, datasets, files, jobs, quotas
from service.store import idempotency as keys
from service.store.errors import NotFound
from service.store.jobs import NewJob, Start
from service.store.models import Dataset

resource = blueprint("explanations", "What networks have learned.", "/v1")

MOST_SECONDS = 5.0
MOST_WORK = 2e9  # rows times parameters of one part, beyond which it is not tried at once
MOST_DATASET_BYTES = 256 << 20
AT_ONCE = ("input_gradients", "layer_activations", "gradient_check")
_LOSS: TypeAdapter[LossSpec] = TypeAdapter(LossSpec)
EXAMPLES = {
    "importance": ("Which columns decide", {"explain": {"type": "permutation_importance", "repeats": 3}}),
    "unit": ("What two units of the first layer look for", {"explain": {"type": "maximal_input", "layer": 0, "units": [0, 1]}}),
    "slopes": ("How the answer changes with each input of a row", {"explain": {"type": "input_gradients", "inputs": {"x": [[0, 1]]}}}),
    "line": ("The loss around the parameters", {"explain": {"type": "loss_line", "points": 11}}),
}


class QuestionToModel(BaseModel):
    """A question to a version of a model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    explain: ExplainSpec
    run: Literal["auto", "now", "job"] = Field(
        "auto", description="now: refuse what would take more than 5 seconds. job: queue it. auto: at once what can be, else a job."
    )
    dataset: str | None = Field(
        None,
        description="Of what is asked of rows: a dataset's id; null: what the network was trained on, the rows it held out where there are "
        "any.",
    )
    name: Name | None = Field(None, description="What to call the job, if it becomes one.")
    tags: Annotated[dict[TagName, TagValue], BeforeValidator(few)] = Field(
        default_factory=dict, max_length=MOST_TAGS, description="Words of your own."
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first; waiting 10 minutes counts as one more.")


class ExplainBody(QuestionToModel):
    """A question to a trained network."""

    snapshot: str = SNAPSHOT


class Explanation(BaseModel):
    """An answer. What it holds beside the question goes by its type; see docs/explain.md."""

    model_config = ConfigDict(extra="allow")

    explain: dict[str, Any] = Field(description="The question, with every default written in, without its inputs.")
    network: NetworkSource


@dataclass(frozen=True)
class Question:
    """What is asked, of which network and which rows."""

    spec: ExplanationSpec
    file: SnapshotFile
    artifact: Artifact
    dataset: Dataset | None


ANSWERED: dict[Any, Any] = {
    200: json_answer(Explanation, "The answer."),
    202: json_answer(JobDocument, "The job that will answer; it is queued.", headers=JOB),
    **refusals(
        _400="The body is not JSON.",
        _413="The body is larger than the server takes.",
        _415="The body is not application/json.",
        _507="No room left.",
    ),
}


@resource.post(
    "/jobs/<job_id>/explain",
    request_body=json_body(ExplainBody, EXAMPLES),
    responses={
        **ANSWERED,
        **refusals(_404="There is no such job, snapshot or dataset.", _409="The job has no parameters yet, or kept none."),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def explain_job(path: JobPath, body: ExplainBody) -> Response:
    """Ask what a network has learned.

    `permutation_importance`, `input_gradients`, `layer_activations`, `maximal_input`, `loss_line`, `loss_plane` and `gradient_check`; what
    each takes and answers stands in docs/explain.md. What takes no more than 5 seconds is answered at once (200). All else is a job of the
    kind `explain` (202), whose answer `GET .../explanation` has. The same question, with the same seed, always gets the same answer.
    """
    here = context()

    def question() -> Question:
        detail = jobs.get(here.store, tenant_id(), path.job_id)
        trained = ResolvedSpec.model_validate(training_of(detail).spec)
        found = snapshot_file(here, detail, body.snapshot)
        source = NetworkSource(job=path.job_id, step=found.step, digest=f"sha256:{found.digest}")
        return _question(here, body, found, source, trained, detail.job.dataset_id)

    return _answered(here, body, question)


@resource.post(
    "/models/<model>/explain",
    request_body=json_body(QuestionToModel, EXAMPLES),
    responses={**ANSWERED, **refusals(_404=f"{NO_VERSION} Or no such dataset.")},
)
@reads_headers(idempotency.HEADER)
@needs("write")
def explain_model(path: ModelPath, query: WhichVersion, body: QuestionToModel) -> Response:
    """Ask what the version has learned that an alias stands for, a numbered one, or the newest. As a job is asked.

    The version is that of the moment; `network` of the answer names it. A network that was imported was trained on no dataset here, so
    what is asked of rows, or as a job, names one.
    """
    here = context()
    row = query.found(here, path.model).row

    def question() -> Question:
        detail = None if row.job_id is None else jobs.get(here.store, tenant_id(), row.job_id)
        trained = None if detail is None else ResolvedSpec.model_validate(detail.spec)
        return _question(here, body, file_of(here, row), source_of(row), trained, None if detail is None else detail.job.dataset_id)

    return _answered(here, body, question)


def _answered(here: Context, body: QuestionToModel, question: Callable[[], Question]) -> Response:
    """200: the answer to this question; 202: the job that will answer it, or the answer that an equal request got before."""
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    made = once and keys.earlier(here.store, tenant_id(), once)
    if not made:
        asked = question()
        at_once = None if body.run == "job" and body.explain.type not in AT_ONCE else _at_once(here, asked)
        if at_once is not None:
            return answer(encode({**asked.spec.said(), **at_once}))
        if body.run == "now" or body.explain.type in AT_ONCE or asked.dataset is None:
            expected, got = f"what takes {MOST_SECONDS:g} seconds", "more"
            message = 'this would take longer than is answered at once; ask of fewer rows, points or units, or send "run": "job"'
            raise InvalidData(Fault("/explain", "too_much_work", message, expected, got))
        data = asked.file.content()
        quotas.room_is_left(here.store, tenant_id(), len(data))
        new = NewJob(
            tenant_id=tenant_id(),
            dataset_id=asked.dataset.id,
            kind=Kind.EXPLAIN,
            spec=asked.spec.model_dump(mode="json"),
            steps=_steps(here, asked),
            epochs=1,
            name=body.name,
            tags=dict(body.tags),
            priority=body.priority,
            start=Start(0, 0, hashlib.sha256(data).hexdigest(), len(data), blob_id := blobs.write(here.store, [data])),
        )
        create = partial(jobs.create, here.store, new, answer=lambda detail: encode(document(detail)), once=once)
        made = blobs.named_by(here.store, blob_id, create)
    about(job_id=made.id)
    here.waker.wake()
    return idempotency.created(made, 202, f"/v1/jobs/{made.id}")


@resource.get(
    "/jobs/<job_id>/explanation",
    responses={
        200: json_answer(Explanation, "The answer.", headers={"ETag": "Its sha256."}),
        206: {"description": "The part of it that was asked for.", "content": {"application/json": {"schema": {"type": "string"}}}},
        304: {"description": "It is what `If-None-Match` says."},
        **refusals(_404=NO_JOB, _409="It is no explanation, or has no answer (yet).", _416="It has no such part."),
    },
)
@reads_headers(IF_NONE_MATCH, RANGE, IF_RANGE)
@needs("read")
def get_explanation(path: JobPath) -> Response:
    """Fetch the answer of an explanation that was a job."""
    here = context()
    job = jobs.row(here.store, tenant_id(), path.job_id)
    if job.kind != Kind.EXPLAIN:
        raise Refusal(409, "other_kind", f"Job {job.id} is of the kind {job.kind}; only explanations have an answer.", kind=job.kind)
    found = files.find(here.store, job.id, "explanation.json")
    if found is None:
        raise Refusal(409, "no_explanation", f"Job {job.id} is {job.state} and has no answer.", state=job.state)
    read = partial(blobs.read, here.store, found.blob_id)
    return file_answer(f'"{found.digest}"', found.bytes, read, media_type="application/json", filename=f"{job.id}.json")


def _question(
    here: Context, body: QuestionToModel, file: SnapshotFile, source: NetworkSource, trained: ResolvedSpec | None, trained_on: str | None
) -> Question:
    """What is asked, checked as far as its columns. Raises InvalidData, Refusal, NotFound.

    trained, trained_on: the training that the network is of, and its dataset; None where it was imported.
    """
    artifact = safetensors.read(file.content())
    wanted, dataset = body.dataset or trained_on, None
    if wanted is None and (of_rows(body.explain) is not None or body.run == "job"):
        message = "the network was imported, so there is no dataset that it was trained on; name one"
        raise InvalidData(Fault("/dataset", "missing", message, "the id of a dataset", "none"))
    if wanted is not None and (of_rows(body.explain) is not None or body.dataset is not None):
        dataset = datasets.get(here.store, tenant_id(), known_id("dataset", wanted))
        check_dataset(here, artifact, dataset)
    elif wanted is not None and body.run != "now":
        dataset = _if_there(here, wanted)
    own = trained is not None and dataset is not None and dataset.id == trained_on
    spec = ExplanationSpec(
        network=source,
        explain=body.explain,
        loss=_LOSS.validate_python({"type": artifact.loss}) if trained is None else trained.loss,
        target=artifact.target,
        trained=trained.model_copy(update={"network": trained.network.without_parameters()}) if trained and own else None,
    )
    return Question(spec, file, artifact, dataset)


def _if_there(here: Context, dataset_id: str) -> Dataset | None:
    """The dataset of a job whose question needs none of it; None where it was deleted."""
    try:
        return datasets.get(here.store, tenant_id(), dataset_id)
    except NotFound:
        return None


def _at_once(here: Context, asked: Question) -> dict[str, Any] | None:
    """The answer; None where it would take longer than is answered at once."""
    most = of_rows(asked.spec.explain)
    if most is not None and asked.dataset is not None:
        rows = min(most, asked.dataset.rows)
        numbers = sum(values.size for values in asked.artifact.parameters.values())
        if rows * max(1, numbers) > MOST_WORK or asked.dataset.bytes > MOST_DATASET_BYTES:
            return None
    with ExitStack() as open_files:
        parts = _parts(here, asked, open_files)
        started, found = time.monotonic(), []
        for number in range(parts.count):
            with _in_the_body():
                found.append(parts.part(number))
            passed = time.monotonic() - started
            if number + 1 < parts.count and passed / (number + 1) * parts.count > MOST_SECONDS:
                return None
        return parts.whole(found)


def _steps(here: Context, asked: Question) -> int:
    """How many parts the answer has."""
    with ExitStack() as open_files:
        return _parts(here, asked, open_files).count


def _parts(here: Context, asked: Question, open_files: ExitStack) -> Parts:
    file, spec = asked.file, asked.spec
    predictor = here.predictors.get(file.digest, file.size_bytes, lambda: Predictor(asked.artifact))
    most, sample = of_rows(spec.explain), None
    if most is not None:
        assert asked.dataset is not None
        table = open_files.enter_context(data_report.opened(here, asked.dataset))
        sample = Sample.of(predictor, table, spec.judged_rows(table), most, spec.loss)
    with _in_the_body():
        return explanation(spec.explain, predictor, spec.loss, sample)


@contextmanager
def _in_the_body() -> Iterator[None]:
    """Faults of a question point at where it stands in the body."""
    try:
        yield
    except InvalidData as refused:
        raise InvalidData(_placed(fault) for fault in refused.faults) from None


def _placed(fault: Fault) -> Fault:
    """The fault, where it stands in the body."""
    return fault if fault.pointer.startswith("/dataset") else fault.under("/explain")
