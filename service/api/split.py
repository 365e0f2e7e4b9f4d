"""/v1/jobs/{id}/split: which rows a job trains on, and which it only validates on."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.split import split_rows
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.columns import values
from service.api.context import context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath
from service.store import datasets, jobs

resource = blueprint("split", "Which rows a job trains on.", "/v1/jobs")


class Split(BaseModel):
    """The rows of a job's dataset, as it uses them."""

    model_config = ConfigDict(extra="forbid")

    training_rows: int = Field(description="How many rows it trains on: all the others.")
    validation_rows: list[int] = Field(description="The numbers, from 0, of the rows that it never trains on, ascending.")


@resource.get("/<job_id>/split", responses={200: json_answer(Split, "The split."), **refusals(_404="There is no such job.")})
@needs("read")
def get_job_split(path: JobPath) -> Response:
    """Say which rows are held out for validation: those to judge the network by."""
    here = context()
    spec = jobs.get(here.store, tenant_id(), path.job_id).spec
    rows = spec["sizes"]["rows"]
    if spec["validation"] is None:
        return answer(encode({"training_rows": rows, "validation_rows": []}))
    labels = None
    if spec["validation"]["stratified"]:
        dataset = datasets.get(here.store, tenant_id(), jobs.row(here.store, tenant_id(), path.job_id).dataset_id, in_trash=True)
        labels = values(here.store, dataset, spec["target"])
    training, validation = split_rows(rows, spec["validation"]["fraction"], spec["seed"], labels)
    return answer(encode({"training_rows": len(training), "validation_rows": validation.tolist()}))
