"""/v1/jobs/{id}/split: which rows a job trains on, and which it only validates on."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.split import split_rows
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath
from service.store import blobs, datasets, jobs

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
    labels = _target(here, path.job_id, spec["target"]) if spec["validation"]["stratified"] else None
    training, validation = split_rows(rows, spec["validation"]["fraction"], spec["seed"], labels)
    return answer(encode({"training_rows": len(training), "validation_rows": validation.tolist()}))


def _target(here: Context, job_id: str, name: str) -> np.ndarray[Any, Any]:
    """The values of the target, read from the dataset without the other columns."""
    owner = tenant_id()
    dataset = datasets.get(here.store, owner, jobs.row(here.store, owner, job_id).dataset_id)
    column = next(column for column in dataset.header["columns"] if column["name"] == name)
    data = b"".join(blobs.read(here.store, dataset.blob_id, column["offset"], column["offset"] + column["bytes"]))
    kind = "int64" if column["dtype"] == "category" else column["dtype"]
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<"))
