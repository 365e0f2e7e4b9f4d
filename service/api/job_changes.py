"""/v1/jobs: change the name, tags, priority and deadline of a job, delete one, and ask something of many jobs at once."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nncore.errors import Fault, InvalidSpec
from service.api.answers import answer, encode, etag
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.datasets import Purged
from service.api.job_document import JobDocument, document
from service.api.jobs import JOB, MOST_TAGS, NO_JOB, TagName, TagValue, few, resource
from service.api.openapi import header_parameter, json_answer, json_body, reads_headers, refusals
from service.api.parameters import JobPath, Time, TimeToCome, pattern
from service.api.problems import Refusal
from service.api.uploads import Name
from service.kinds import Kind
from service.store import deletion, jobs
from service.store import job_changes as stored
from service.store.job_filter import JobFilter, as_text
from service.store.jobs import JobDetail
from service.store.states import Action, State

MOST_AT_ONCE = 1000
IF_MATCH = header_parameter(
    "If-Match",
    'The `ETag` of the job as you know it, or its `revision` in quotes, "3", which only such changes raise; or * for whatever it is now. '
    "Needed.",
    required=True,
)
CHANGE = {"tags": ("Other tags, in the place of those there are", {"tags": {"lesson": 2, "kept": True}, "priority": 5})}
ACTIONS = {"lesson": ("Cancel what waits and belongs to a lesson", {"action": "cancel", "state": ["queued"], "tags": {"lesson": 1}})}
BODY_FAULTS = {
    "_400": "The body is not JSON.",
    "_413": "The body is larger than the server takes.",
    "_415": "The body is not application/json.",
}
Tags = Annotated[dict[TagName, TagValue], BeforeValidator(few), Field(max_length=MOST_TAGS)]


class JobChange(BaseModel):
    """What is to be changed; all else stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = Field(None, description="Null takes it away.")
    tags: Tags = Field(default_factory=dict, description="All of them; those that are left out are gone.")
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first.")
    deadline: TimeToCome | None = Field(
        None, description="When it fails unless it has ended; null: never. What the spec says does not change."
    )


class ActionsBody(BaseModel):
    """What to ask, and of which jobs: those for which all that is said holds. At least one condition is needed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 2})

    action: Action
    state: list[State] = Field(default_factory=list, max_length=20, description="In one of these states.")
    kind: list[Kind] = Field(default_factory=list, max_length=20, description="Of one of these kinds.")
    dataset: str | None = Field(None, pattern=pattern("dataset"), description="On this dataset.")
    cross_validation: str | None = Field(None, pattern=pattern("cross-validation"), description="Folds of this cross-validation.")
    name: Name | None = Field(None, description="Of this name.")
    tags: Tags = Field(default_factory=dict, description="With these tags and values.")
    tagged: list[TagName] = Field(default_factory=list, max_length=MOST_TAGS, description="With these tags, whatever their values.")
    created_after: Time | None = Field(None, description="Made at this time or later: 2026-01-31T12:00:00Z.")
    created_before: Time | None = Field(None, description="Made before this time.")

    def chosen(self) -> JobFilter:
        """The same for the store."""
        tags = dict.fromkeys(self.tagged) | {name: as_text(value) for name, value in self.tags.items()}
        since, until = (None if at is None else at.timestamp() for at in (self.created_after, self.created_before))
        return JobFilter(self.state, self.dataset, self.name, tags, since, until, self.kind, self.cross_validation)


class ActionsDone(BaseModel):
    """What it changed."""

    model_config = ConfigDict(extra="forbid")

    changed: list[str] = Field(description="The jobs that were asked, oldest first. Others were so already, or cannot be.")
    more: bool = Field(description="Whether there are more of them: send it again.")


@resource.patch(
    "/<job_id>",
    request_body=json_body(JobChange, CHANGE),
    responses={
        200: json_answer(JobDocument, "The job as it is now.", headers={"ETag": JOB["ETag"]}),
        **refusals(
            _404=NO_JOB,
            _412="The job is not what `If-Match` says any more; read it again.",
            _428="`If-Match` is missing: without it, what another changed meanwhile would be lost.",
            **BODY_FAULTS,
        ),
    },
)
@reads_headers(IF_MATCH)
@needs("write")
def change_job(path: JobPath, body: JobChange) -> Response:
    """Change the name, tags, priority or deadline of a job, also of one that has ended.

    What is left out stays. The spec stays as it was accepted, so that its bits can be had again: for other epochs, or a larger
    `max_seconds`, go on from the job (`parent`). A job that is being trained changes all the time, and with it its `ETag`; its
    `revision` does not.
    """
    here, owner = context(), tenant_id()
    if "If-Match" not in request.headers:
        raise Refusal(428, "precondition_required", 'Send If-Match: the ETag of the job, its revision in quotes ("3"), or *.')
    values = body.model_dump(include=body.model_fields_set)
    if "deadline" in values:
        values["deadline_at"] = body.deadline.timestamp() if body.deadline else None
        del values["deadline"]
    while True:
        detail = jobs.get(here.store, owner, path.job_id)
        _check_known(detail)
        if not values or stored.change(here.store, owner, path.job_id, detail.job.revision, values):
            break  # else somebody was quicker: look whether If-Match still holds
    if "priority" in values:
        here.waker.wake()
    changed = encode(document(jobs.get(here.store, owner, path.job_id)))
    return answer(changed, ETag=etag(changed))


@resource.delete(
    "/<job_id>",
    responses={
        200: json_answer(Purged, "What was freed."),
        **refusals(
            _404=NO_JOB,
            _409="It has not ended (`illegal_action`): cancel it first. Or jobs that go on from it name it, or versions of models "
            "came from it (`job_in_use`): delete those first.",
        ),
    },
)
@needs("write")
def delete_job(path: JobPath) -> Response:
    """Delete a job that has ended, for good: its events, reports, checkpoints and snapshots, and say how many bytes that frees.

    There is no trash for jobs. Its dataset stays.
    """
    freed_bytes = deletion.delete(context().store, tenant_id(), path.job_id)
    return answer(encode({"id": path.job_id, "freed_bytes": freed_bytes}))


@resource.post(
    "/actions",
    request_body=json_body(ActionsBody, ACTIONS),
    responses={200: json_answer(ActionsDone, "What it changed."), **refusals(**BODY_FAULTS)},
)
@needs("write")
def act_on_jobs(body: ActionsBody) -> Response:
    """Cancel, stop, pause or resume every job that a filter finds, a thousand at a time.

    Sent again it does the same to those that are left: it may be repeated.
    """
    here = context()
    chosen = body.chosen()
    if chosen == JobFilter(states=[], kinds=[]):
        conditions = "state, kind, dataset, cross_validation, name, tags, tagged, created_after and created_before"
        message = f'expected at least one of {conditions}; for every job there is, send "state" with all states meant'
        raise InvalidSpec([Fault("", "no_filter", message, "a condition", "none")])
    changed, more = stored.request_all(here.store, tenant_id(), body.action, chosen, MOST_AT_ONCE)
    if changed and body.action is Action.RESUME:
        here.waker.wake()
    return answer(encode({"changed": list(changed), "more": more}))


def _check_known(detail: JobDetail) -> None:
    """Raise Refusal (412) unless If-Match names the job as it is."""
    asked = request.if_match
    if asked.star_tag:
        return
    tags: list[Any] = [str(detail.job.revision), etag(encode(document(detail))).strip('"')]
    if not any(asked.contains(tag) for tag in tags):
        message = f"The job is not what If-Match says any more; its revision is {detail.job.revision}. Read it, and decide again."
        raise Refusal(412, "precondition_failed", message, revision=detail.job.revision)
