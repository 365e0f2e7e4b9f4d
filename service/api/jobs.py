"""/v1/jobs: create, list, read, wait for, and ask for pause, resume, stop or cancel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from flask import Response, request
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from nncore.errors import Fault, InvalidSpec
from nncore.faults import MAX_FAULTS
from nncore.spec import OF_THE_DATA, Limits, ResolvedSpec, TrainingSpec, read_spec, resolve
from nncore.table import Column, ColumnInfo
from service.api import idempotency
from service.api.access_log import about
from service.api.answers import answer, encode, etag
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.examples import JOBS
from service.api.job_document import JobDocument, document
from service.api.known_columns import faults_of_asking, keeps, known, read_as, steps_of
from service.api.long_poll import IF_NONE_MATCH, PREFER, answered
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import JobPath, Page, Time, TimeToCome, cursor, known_id, pattern
from service.api.parents import Parent, ParentBody, lineage, parent_of, start_of
from service.api.problems import Refusal
from service.api.uploads import Name
from service.kinds import Kind
from service.settings import Settings
from service.store import blobs, datasets, quotas
from service.store import idempotency as keys
from service.store import jobs as stored
from service.store.errors import NotFound
from service.store.job_filter import JobFilter
from service.store.jobs import NewJob
from service.store.models import Dataset
from service.store.states import TERMINAL, Action, State

resource = blueprint("jobs", "What was asked for, how far it is, what came out.", "/v1/jobs")

TagName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
MOST_TAGS = 64


def _a_tag(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(given)
    except ValidationError:  # one fault, not one for each type that was tried
        wanted = "text of at most 500 characters without NUL, a number, true, false or null"
        raise PydanticCustomError("wrong_type", "expected {wanted}", {"wanted": wanted}) from None


def few(given: Any) -> Any:
    """Refuses too many tags before each is looked at."""
    if isinstance(given, dict) and len(given) > MOST_TAGS:
        raise PydanticCustomError(
            "wrong_length", "tags: expected at most {most} items, got {got}", {"most": MOST_TAGS, "got": f"{len(given):,}"}
        )
    return given


TagValue = Annotated[
    Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] | bool | int | float | None,
    WrapValidator(_a_tag),
]


def _may_inherit(schema: dict[str, Any]) -> None:
    with_parent = {"required": ["parent"], "properties": {"parent": {"type": "object"}}}
    schema["if"], schema["else"] = with_parent, {"required": schema.pop("required")}


JOB = {"Location": "Where the job is.", "ETag": "The sha256 of this answer."}
NO_JOB = "There is no such job."


class JobBody(TrainingSpec):
    """A training, and the dataset it is for. With a `parent` all that is left out is as it was there."""

    model_config = ConfigDict(json_schema_extra=_may_inherit)

    dataset: str = Field(description="The dataset's id.")
    name: Name | None = Field(None, description="What to call the job.")
    tags: Annotated[dict[TagName, TagValue], BeforeValidator(few)] = Field(
        default_factory=dict, max_length=MOST_TAGS, description="Words of your own."
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first; waiting 10 minutes counts as one more.")
    deadline: TimeToCome | None = Field(
        None, description="When the job fails (`deadline`) unless it has ended; what it had learned is kept: 2026-01-31T12:00:00Z."
    )
    parent: ParentBody | None = Field(
        None, description="The job, or the version of a model, to go on from. `epochs` are then further ones."
    )


@dataclass(frozen=True)
class Asked:
    """A job that is asked for, resolved.

    columns: what is known of those of the dataset. column: gives one of them, as the job takes it. exactly: it goes on with the run of its
    parent, bit for bit. kept: with its preprocessing.
    """

    body: JobBody
    spec: ResolvedSpec
    dataset: Dataset
    columns: Sequence[ColumnInfo]
    column: Callable[[str], Column]
    parent: Parent | None = None
    exactly: bool = False
    kept: bool = False


class JobList(BaseModel):
    """A page of jobs, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[JobDocument]
    next_cursor: str | None


Tag = Annotated[str, Field(min_length=1, max_length=700, pattern=r"^[^=\x00][^\x00]*$")]


class JobsQuery(Page):
    cursor: str | None = cursor("job")
    state: list[State] = Field([], max_length=20, description="Only jobs in one of these states.")
    kind: list[Kind] = Field([], max_length=20, description="Only jobs of one of these kinds.")
    dataset: str | None = Field(None, pattern=pattern("dataset"), description="Only jobs on this dataset.")
    cross_validation: str | None = Field(None, pattern=pattern("cross-validation"), description="Only its folds.")
    name: str | None = Field(None, max_length=200, pattern=r"^[^\x00]*$", description="Only jobs of this name.")
    tag: list[Tag] = Field([], max_length=20, description="Only jobs with this tag: NAME, or NAME=VALUE. Of several, with all of them.")
    created_after: Time | None = Field(None, description="Only jobs made at this time or later: 2026-01-31T12:00:00Z.")
    created_before: Time | None = Field(None, description="Only jobs made before this time.")

    def chosen(self) -> JobFilter:
        """The same for the store."""
        tags = {name: value if mark else None for name, mark, value in (tag.partition("=") for tag in self.tag)}
        since, until = (None if at is None else at.timestamp() for at in (self.created_after, self.created_before))
        return JobFilter(self.state, self.dataset, self.name, tags, since, until, self.kind, self.cross_validation)


@resource.post(
    "",
    request_body=json_body(JobBody, JOBS),
    responses={
        202: json_answer(JobDocument, "The job; it is queued.", headers=JOB),
        **refusals(
            _400="The body is not JSON.",
            _404="There is no such dataset, and that is all that is wrong; or no such parent, or it kept nothing of that step.",
            _409="The parent has no parameters yet, or kept none.",
            _413="The body is larger than the server takes.",
            _415="The body is not application/json.",
            _422="Something in the spec is wrong: `errors` names every fault.",
            _507="No room left.",
        ),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_job() -> Response:
    """Queue a training.

    The spec is checked and resolved before it is accepted: every default is written into it, sizes and memory are computed and held
    against the limits. Anything wrong with it is said at once, and then nothing is written. `inputs` defaults to every column but the
    target; several scalar columns are laid side by side. A missing `loss` is chosen from the target.

    With a `parent` the job goes on from another, which stays as it is. All that is left out is as it was there, and `epochs` are further
    ones (left out: those that the parent had left, else as many as it had). Where nothing but `epochs`, `early_stopping`, `max_seconds`,
    `metrics` or what reports tell is other than there, the run goes on bit for bit, as if it had been asked for more epochs at once; an
    epoch that was begun counts as the first further one. With anything else changed, other data, or from `best`, it begins a run of its
    own with the parameters found there (fine-tuning); the network must have the same parameters, and the same classes. As long as inputs
    and steps are the parent's its preprocessing is kept: means, scales and categories stay those that the parameters were trained with.
    `"preprocessing": "fitted"` fits it to the new data instead. The `parent` of the answer says which. A version of a model may be a
    parent, too: `{"model": "digits", "alias": "production"}`.
    """
    here = context()
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    made = once and keys.earlier(here.store, tenant_id(), once)
    if not made:
        asked = resolved(here, request.get_json())
        body, spec, parent = asked.body, asked.spec, asked.parent
        quotas.room_is_left(here.store, tenant_id())
        new = new_job(
            asked,
            spec,
            parent=lineage(parent, spec, asked.exactly, kept=asked.kept) if parent else None,
            start=start_of(here, parent, asked.exactly) if parent else None,
            fingerprint=parent.detail.job.fingerprint if parent and parent.detail and asked.exactly else None,
        )
        create = partial(stored.create, here.store, new, answer=lambda detail: encode(document(detail)), once=once)
        made = blobs.named_by(here.store, new.start.blob_id if new.start else None, create)
        about(dataset_id=body.dataset)
    about(job_id=made.id)
    here.waker.wake()
    return idempotency.created(made, 202, f"/v1/jobs/{made.id}")


@resource.get("", responses={200: json_answer(JobList, "A page of jobs.")})
@needs("read")
def list_jobs(query: JobsQuery) -> Response:
    """List the jobs, newest first."""
    found = stored.page(context().store, tenant_id(), limit=query.limit + 1, before=query.cursor, chosen=query.chosen())
    shown = found[: query.limit]
    cursor = shown[-1].job.id if len(found) > query.limit else None
    return answer(encode({"data": [document(detail) for detail in shown], "next_cursor": cursor}))


@resource.get(
    "/<job_id>",
    responses={
        200: json_answer(JobDocument, "The job.", headers={"ETag": JOB["ETag"]}),
        304: {"description": "The job is what `If-None-Match` says."},
        **refusals(_404=NO_JOB),
    },
)
@reads_headers(IF_NONE_MATCH, PREFER)
@needs("read")
def get_job(path: JobPath) -> Response:
    """Read a job, or wait for it to change.

    With `Prefer: wait=30` the answer comes when the job is no longer what `If-None-Match` names (without that: what it is now), or
    after 30 seconds, or when the job has ended.
    """
    here = context()

    def read() -> tuple[bytes, str, bool]:
        detail = stored.get(here.store, owner, path.job_id)
        body = encode(document(detail))
        return body, etag(body), detail.job.state in TERMINAL

    owner = tenant_id()
    return answered(here.streams, read)


ASKED = {
    200: json_answer(JobDocument, "The job was so already.", headers={"ETag": JOB["ETag"]}),
    202: json_answer(JobDocument, "The job. If a worker has it, the worker does what is asked within seconds.", headers=JOB),
    **refusals(_404=NO_JOB, _409="The job's state does not allow it; `allowed_actions` says what is possible."),
}


@resource.post("/<job_id>/cancel", responses=ASKED)
@needs("write")
def cancel_job(path: JobPath) -> Response:
    """End a job and drop what it learned."""
    return _ask(path, Action.CANCEL)


@resource.post("/<job_id>/stop", responses=ASKED)
@needs("write")
def stop_job(path: JobPath) -> Response:
    """End a job and keep the best it has learned so far."""
    return _ask(path, Action.STOP)


@resource.post("/<job_id>/pause", responses=ASKED)
@needs("write")
def pause_job(path: JobPath) -> Response:
    """Let a job rest until it is resumed."""
    return _ask(path, Action.PAUSE)


@resource.post("/<job_id>/resume", responses=ASKED)
@needs("write")
def resume_job(path: JobPath) -> Response:
    """Let a paused job go on where it stopped, bit for bit."""
    return _ask(path, Action.RESUME)


def _ask(path: JobPath, action: Action) -> Response:
    here = context()
    changed = stored.request(here.store, tenant_id(), path.job_id, action)
    if changed and action is Action.RESUME:
        here.waker.wake()
    body = encode(document(stored.get(here.store, tenant_id(), path.job_id)))
    return answer(body, 202 if changed else 200, ETag=etag(body), Location=f"/v1/jobs/{path.job_id}")


def resolved(here: Context, document: dict[str, Any]) -> Asked:
    """What a body asks for, with every default written in; nothing is written.

    Raises InvalidSpec with all faults, of shape and of sense; Refusal (404) where the dataset is all that is wrong, or the parent is.
    """
    parent = None if document.get("parent") is None else parent_of(here, tenant_id(), document["parent"])
    return judged(here, *read_spec(JobBody, (parent.inherited() if parent else {}) | document, dataset=""), parent=parent)


def judged(here: Context, body: JobBody, unread: AbstractSet[str], faults: Sequence[Fault], *, parent: Parent | None = None) -> Asked:
    """The same of a body that has been read (see `read_spec`)."""
    found = list(faults)
    dataset, columns, rows = None, list[ColumnInfo](), 1
    if "dataset" in unread:
        unread |= OF_THE_DATA
    else:
        try:
            dataset = datasets.get(here.store, tenant_id(), known_id("dataset", body.dataset))
            columns, rows = [ColumnInfo.model_validate(column) for column in dataset.columns], dataset.rows
        except NotFound as error:
            unread |= OF_THE_DATA
            found.append(Fault("/dataset", "not_found", str(error), "the id of a dataset", error.identifier))
    kept = False
    if parent and dataset is not None and not unread & {"inputs", "target", "preprocess", "preprocess_target"}:
        kept = keeps(parent, body)
        columns, unknown = known(parent, body, columns, kept=kept)
        found += [*faults_of_asking(parent, body), *unknown]
        unread |= {fault.pointer.removeprefix("/") for fault in unknown}
        if kept:
            body = body.model_copy(update={"preprocess": steps_of(parent)})
    told = {column.name: column.categories for column in columns}
    read = None if dataset is None else read_as(here, dataset, body.target, told.get(body.target))
    values = None if read is None else partial(values_of, read)
    try:
        spec = resolve(body, columns, rows, limits(here.settings), unread=unread, values=values)
    except InvalidSpec as refused:
        found += refused.faults
    if found:
        if [fault.code for fault in found] == ["not_found"]:
            raise Refusal(404, "not_found", found[0].message, faults=found) from None
        raise InvalidSpec(found[:MAX_FAULTS]) from None
    assert dataset is not None, "without one, resolve refuses"
    assert read is not None
    exactly = parent is not None and parent.goes_on_exactly(spec, dataset)
    if parent:
        if exactly:
            body = body.model_copy(update={"epochs": (parent.epoch or 0) + spec.epochs, "early_stopping": spec.early_stopping})
            spec = resolve(body, columns, rows, limits(here.settings), values=values).model_copy(update={"found": spec.found})
        parent.check(spec, exactly)
    return Asked(body, spec, dataset, columns, read, parent, exactly, kept or exactly)


def new_job(asked: Asked, spec: ResolvedSpec, **more: Any) -> NewJob:
    """A job of what is asked for, for the store. more: what it begins with."""
    body = asked.body
    return NewJob(
        tenant_id=tenant_id(),
        dataset_id=body.dataset,
        spec=spec.model_dump(mode="json"),
        steps=spec.sizes.steps,
        epochs=spec.epochs,
        name=body.name,
        tags=dict(body.tags),
        priority=body.priority,
        deadline_at=body.deadline.timestamp() if body.deadline else None,
        parameters=spec.sizes.parameters,
        **more,
    )


def values_of(read: Callable[[str], Column], name: str) -> np.ndarray[Any, Any]:
    """All rows of a column that `read` gives."""
    return read(name).values


def limits(settings: Settings) -> Limits:
    """How large a job may be."""
    return Limits(
        max_layers=settings.max_layers,
        max_parameters=settings.max_parameters,
        max_memory_bytes=settings.max_memory_bytes,
        max_epochs=settings.max_epochs,
    )
