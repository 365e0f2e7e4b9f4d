"""/v1/jobs/{id}/assessment: what the best parameters of a job are worth."""

from __future__ import annotations

from typing import Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.data_report import FindingDocument
from service.api.job_document import Tested
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath
from service.api.problems import Refusal
from service.store import jobs
from service.store.states import TERMINAL

resource = blueprint("assessment", "What a job's best parameters are worth.", "/v1/jobs")


class GroupDocument(BaseModel):
    """The rows of one group, judged."""

    model_config = ConfigDict(extra="forbid", title="GroupScore")

    value: str = Field(description="What the spec's `group` column says in these rows.")
    score: Tested


class PartDocument(BaseModel):
    """Some rows, judged."""

    model_config = ConfigDict(extra="forbid", title="AssessedPart")

    of: Literal["training", "validation", "test"]
    score: Tested = Field(description="`tables.per_class` has precision, recall, F1 and rows of each of up to 100 classes.")
    groups: list[GroupDocument] = Field(description="Of the 50 largest groups, the largest first; where the spec names a `group`.")
    groups_left_out: int


class InfluenceDocument(BaseModel):
    """How much worse the answers are when the numbers of an input are dealt to other rows: what it decides."""

    model_config = ConfigDict(extra="forbid", title="Influence")

    column: str
    feature: int | None = Field(description="Of the items of the column; null where all of them were dealt together.")
    loss_rise: float
    metric_drop: float


class Assessment(BaseModel):
    """What the best parameters are worth."""

    model_config = ConfigDict(extra="forbid")

    parts: list[PartDocument] = Field(description="Validation and test rows where there are any, else training rows.")
    metric: str = Field(description="Of `metric_drop`: accuracy or r2.")
    dealt_rows: int = Field(description="How many rows of the first part the influences were taken on.")
    influences: list[InfluenceDocument] = Field(description="Permutation importance, three times each; the most influential first.")
    influences_left_out: int = Field(description="Inputs that were not tried: a second is spent on it.")
    findings: list[FindingDocument] = Field(description="What is wrong with the job's data, the worst first.")
    audited_rows: int = Field(description="In how many rows, evenly taken, findings were looked for.")


@resource.get(
    "/<job_id>/assessment",
    responses={
        200: json_answer(Assessment, "The assessment."),
        **refusals(_404="There is no such job.", _409="The job has not ended, or there is none of it."),
    },
)
@needs("read")
def get_job_assessment(path: JobPath) -> Response:
    """Say what the best parameters of an ended job are worth: by class and by group, which inputs decide, what is wrong with the data.

    It is made once, by the worker that ends the job, on at most 100,000 rows of a part. Jobs that were cancelled, or stopped while no
    worker had them, have none, nor have those that are no trainings.
    """
    found = jobs.assessment(context().store, tenant_id(), path.job_id)
    if found is None:
        state = jobs.row(context().store, tenant_id(), path.job_id).state
        why = "ended without one" if state in TERMINAL else "has not ended"
        raise Refusal(409, "no_assessment", f"Job {path.job_id} is {state} and {why}.", state=state)
    return answer(encode(found))
