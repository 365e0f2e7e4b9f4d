"""/v1/jobs/{id}/split and /audit: which rows a job trains on and which it only validates on, and what is wrong with them."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.audit import audit
from nncore.spec import ResolvedSpec
from nncore.split import Division, Split, divide
from service.api import data_report
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.columns import column
from service.api.context import context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath, Parameters
from service.api.snapshots import training_of
from service.store import datasets, jobs
from service.store.models import Dataset

resource = blueprint("split", "Which rows a job trains on.", "/v1/jobs")


NO_TRAINING = {"_409": "The job trains no network."}


class SplitDocument(BaseModel):
    """The rows of a job's dataset, as it uses them."""

    model_config = ConfigDict(extra="forbid", title="Split")

    training_rows: int = Field(description="How many rows it trains on: all the others.")
    validation_rows: list[int] = Field(description="The numbers, from 0, of the rows that judge every epoch, ascending.")
    test_rows: list[int] = Field(description="The numbers of the rows that are kept for the end, ascending.")


@resource.get(
    "/<job_id>/split", responses={200: json_answer(SplitDocument, "The split."), **refusals(_404="There is no such job.", **NO_TRAINING)}
)
@needs("read")
def get_job_split(path: JobPath) -> Response:
    """Say which rows are held out, for validation and for the test: those to judge the network by. It trains on all the others."""
    split = _split(path)
    parts = {"validation_rows": split.validation_rows.tolist(), "test_rows": split.test_rows.tolist()}
    return answer(encode({"training_rows": len(split.training_rows), **parts}))


class JobAuditQuery(Parameters):
    group: str | None = Field(None, max_length=200, description="A column that names whom a row belongs to. Default: the job's `group`.")


@resource.get(
    "/<job_id>/audit",
    responses={
        200: json_answer(data_report.Audit, "The audit."),
        **refusals(_404="There is no such job, or its dataset was deleted.", **NO_TRAINING),
    },
)
@needs("read")
def get_job_audit(path: JobPath, query: JobAuditQuery) -> Response:
    """Look for what is wrong with the data that a job is trained on: its inputs, its target, its split. See the audit of a dataset."""
    here = context()
    spec, dataset = training_of(jobs.get(here.store, tenant_id(), path.job_id)).spec, _dataset(path)
    data_report.check_columns({"group": query.group}, dataset)
    group = query.group or spec.get("group")
    split = _split(path)
    with data_report.opened(here, dataset) as table:
        inputs = [name for name in spec["inputs"] if name != group]
        return data_report.told(dataset, audit(table, target=spec["target"], inputs=inputs, group=group, split=split))


def _split(path: JobPath) -> Split:
    """The rows of a job by what they are for."""
    here = context()
    spec = ResolvedSpec.model_validate(training_of(jobs.get(here.store, tenant_id(), path.job_id)).spec)

    def read(name: str) -> Any:
        return column(here.store, _dataset(path), name)

    return divide(spec.sizes.rows, Division.of(spec), read)


def _dataset(path: JobPath) -> Dataset:
    here = context()
    return datasets.get(here.store, tenant_id(), jobs.row(here.store, tenant_id(), path.job_id).dataset_id, in_trash=True)
