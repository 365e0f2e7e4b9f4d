"""/v1/jobs/{id}/predict: what a trained network answers for rows of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, short
from nncore.formats import safetensors
from nncore.predictor import Predictor
from service.api.answers import answer
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.openapi import blueprint, json_answer, json_body, refusals
from service.api.parameters import JobPath, Parameters
from service.api.snapshots import NO_SNAPSHOT, SNAPSHOT, snapshot_file
from service.store import jobs

resource = blueprint("predictions", "Answers of trained networks.", "/v1/jobs")

EXAMPLES = {
    "columns": ("One row by the names of its columns", {"inputs": {"x": [[0, 1]]}}),
    "rows": ("Rows, their columns in the order of the spec's `inputs`", {"inputs": [[0, 1], [1, 1]]}),
}


class PredictBody(BaseModel):
    """Rows to answer for: columns by name, or a list of rows."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: Any = Field(
        description="Columns by name, each a list of as many rows; or a list of rows, each a list of the columns' values in the order of "
        "the spec's `inputs` (with one input column: its value).",
        json_schema_extra={
            "anyOf": [{"type": "object", "additionalProperties": {"type": "array", "items": {}}}, {"type": "array", "items": {}}]
        },
    )


class Prediction(BaseModel):
    """The network's answers, row by row."""

    model_config = ConfigDict(extra="forbid")

    outputs: list[list[float]] = Field(description="What the last layer gives, before the softmax or sigmoid of the loss.")
    probabilities: list[Any] | None = Field(None, description="Of every class, or of label 1 where there are two; with a loss of classes.")
    labels: list[str] | list[int] | None = Field(None, description="The most probable class: its name, or its number.")


class PredictQuery(Parameters):
    snapshot: str = SNAPSHOT


@resource.post(
    "/<job_id>/predict",
    request_body=json_body(PredictBody, EXAMPLES),
    responses={
        200: json_answer(Prediction, "The answers."),
        **refusals(
            _400="The body is not JSON.",
            _404="There is no such job or snapshot.",
            _413="The body is larger than the server takes.",
            _415="The body is not application/json.",
            **NO_SNAPSHOT,
        ),
    },
)
@needs("read")
def predict_with_job(path: JobPath, query: PredictQuery, body: PredictBody) -> Response:
    """Ask a trained network.

    The preprocessing that was fitted in training is applied. While a job runs or is paused its newest checkpoint answers.
    """
    here = context()
    detail = jobs.get(here.store, tenant_id(), path.job_id)
    found = snapshot_file(here, detail, query.snapshot)
    predictor = here.predictors.get(found.digest, found.size_bytes, lambda: Predictor(safetensors.read(found.content())))
    prediction = predictor.predict(body.inputs) if isinstance(body.inputs, dict) else _predict_rows(predictor, body.inputs)
    document: dict[str, Any] = {"outputs": _listed(prediction.outputs)}
    if prediction.probabilities is not None:
        document["probabilities"] = _listed(prediction.probabilities)
    if prediction.labels is not None:
        document["labels"] = _listed(prediction.labels)
    return answer(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))


def _predict_rows(predictor: Predictor, rows: Any) -> Any:
    """The answers for a list of rows; faults point into that list."""
    names = predictor.artifact.input_names
    columns = columns_of(rows, names)
    try:
        return predictor.predict(columns)
    except InvalidData as error:
        raise InvalidData(_of_rows(fault, names) for fault in error.faults) from error


def columns_of(rows: Any, names: Sequence[str]) -> Mapping[str, list[Any]]:
    """The columns in a list of rows. Raises InvalidData naming the rows that have not one value for each of `names`."""
    if not isinstance(rows, list):
        expected = "columns by name, or a list of rows"
        raise InvalidData(Fault("/inputs", "wrong_type", f"inputs: expected {expected}, got {short(rows)}", expected, short(rows)))
    if len(names) == 1:
        return {names[0]: rows}
    faults = Faults()
    expected = f"a list of {len(names)} values, one for each of {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            faults.add(
                f"/inputs/{number}",
                "wrong_row",
                f"row {number + 1}: expected {expected}, got {short(row)}",
                expected=expected,
                got=short(row),
            )
            if faults.full:
                break
    if faults:
        raise InvalidData(faults.found)
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _of_rows(fault: Fault, names: Sequence[str]) -> Fault:
    """The fault of a column, /inputs/NAME/ROW/..., where it stands in a list of rows: /inputs/ROW/PLACE/..."""
    places = {name.replace("~", "~0").replace("/", "~1"): place for place, name in enumerate(names)}
    parts = fault.pointer.split("/")[2:]
    if not parts or parts[0] not in places:
        return Fault("/inputs", fault.code, fault.message, fault.expected, fault.got)
    row = parts[1:2]
    place = [str(places[parts[0]])] if row and len(names) > 1 else []
    return Fault("/".join(["/inputs", *row, *place, *parts[2:]]), fault.code, fault.message, fault.expected, fault.got)


def _listed(values: Any) -> Any:
    """The values as something that can be written as JSON."""
    return np.ascontiguousarray(values) if isinstance(values, np.ndarray) and values.dtype.kind in "fi" else list(values)
