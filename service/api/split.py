"""/v1/jobs/{id}/split and /audit: which rows a job trains on and which it only validates on, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.audit import Split, audit
from nncore.split import split_rows
from service.api import data_report
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.columns import values
from service.api.context import context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath, Parameters
from service.store import datasets, jobs
from service.store.models import Dataset

resource = blueprint("split", "Which rows a job trains on.", "/v1/jobs")


class SplitDocument(BaseModel):
    """The rows of a job's dataset, as it uses them."""

    model_config = ConfigDict(extra="forbid", title="Split")

    training_rows: int = Field(description="How many rows it trains on: all the others.")
    validation_rows: list[int] = Field(description="The numbers, from 0, of the rows that it never trains on, ascending.")


@resource.get("/<job_id>/split", responses={200: json_answer(SplitDocument, "The split."), **refusals(_404="There is no such job.")})
@needs("read")
def get_job_split(path: JobPath) -> Response:
    """Say which rows are held out for validation: those to judge the network by."""
    spec = jobs.get(context().store, tenant_id(), path.job_id).spec
    if spec["validation"] is None:
        return answer(encode({"training_rows": spec["sizes"]["rows"], "validation_rows": []}))
    training, validation = _rows(path, spec)
    return answer(encode({"training_rows": len(training), "validation_rows": validation.tolist()}))


class JobAuditQuery(Parameters):
    group: str | None = Field(None, max_length=200, description="A column that names whom a row belongs to: a speaker, patient, customer.")


@resource.get(
    "/<job_id>/audit",
    responses={200: json_answer(data_report.Audit, "The audit."), **refusals(_404="There is no such job, or its dataset was deleted.")},
)
@needs("read")
def get_job_audit(path: JobPath, query: JobAuditQuery) -> Response:
    """Look for what is wrong with the data that a job is trained on: its inputs, its target, its split. See the audit of a dataset."""
    here = context()
    spec, dataset = jobs.get(here.store, tenant_id(), path.job_id).spec, _dataset(path)
    data_report.check_columns({"group": query.group}, dataset)
    split = Split(*_rows(path, spec)) if spec["validation"] is not None else None
    with data_report.opened(here, dataset) as table:
        inputs = [name for name in spec["inputs"] if name != query.group]
        return data_report.told(dataset, audit(table, target=spec["target"], inputs=inputs, group=query.group, split=split))


def _rows(path: JobPath, spec: dict[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The rows that a job with validation trains on, and those that it holds out."""
    labels = values(context().store, _dataset(path), spec["target"]) if spec["validation"]["stratified"] else None
    return split_rows(spec["sizes"]["rows"], spec["validation"]["fraction"], spec["seed"], labels)


def _dataset(path: JobPath) -> Dataset:
    here = context()
    return datasets.get(here.store, tenant_id(), jobs.row(here.store, tenant_id(), path.job_id).dataset_id, in_trash=True)
