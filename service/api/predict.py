"""/v1/jobs/{id}/predict: what a trained network answers for rows of JSON, CSV or .npz, or of a dataset."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import orjson
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, short
from nncore.formats import safetensors
from nncore.predictions import FILES, classes
from nncore.predictor import Prediction as Answers
from nncore.predictor import Predictor
from nncore.spec import faults_of
from nncore.table import Table, TableLimits
from nncore.table.missing import EVERY_COLUMN
from service.api import data_report
from service.api.answers import answer, chosen
from service.api.authentication import needs, tenant_id
from service.api.context import Context, context
from service.api.openapi import blueprint, json_answer, json_body, refusals
from service.api.parameters import JobPath, Parameters, known_id
from service.api.problems import invalid
from service.api.snapshots import NO_SNAPSHOT, SNAPSHOT, SnapshotFile, snapshot_file
from service.api.uploads import check_file_type, received
from service.settings import Settings
from service.store import datasets, jobs

resource = blueprint("predictions", "Answers of trained networks.", "/v1/jobs")

MOST_ROWS = 100_000
MOST_SECONDS = 20.0
MOST_DATASET_BYTES = 256 << 20
KINDS = {"json": "application/json", "csv": "text/csv", "npz": "application/x-npz"}
EXAMPLES = {
    "columns": ("One row by the names of its columns", {"inputs": {"x": [[0, 1]]}}),
    "rows": ("Rows, their columns in the order of the spec's `inputs`", {"inputs": [[0, 1], [1, 1]]}),
}


class PredictBody(BaseModel):
    """Rows to answer for: columns by name, a list of rows, or those of a dataset."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"minProperties": 1, "maxProperties": 1})

    inputs: Any = Field(
        None,
        description="Columns by name, each a list of as many rows; or a list of rows, each a list of the columns' values in the order of "
        "the spec's `inputs` (with one input column: its value).",
        json_schema_extra={
            "anyOf": [{"type": "object", "additionalProperties": {"type": "array", "items": {}}}, {"type": "array", "items": {}}]
        },
    )
    dataset: str | None = Field(None, description="A dataset's id; columns that the network does not read are passed over.")


class Prediction(BaseModel):
    """The network's answers, row by row."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(description="The column that is answered.")
    outputs: list[list[float]] = Field(
        description="What the last layer gives: before the softmax or sigmoid of the loss, or numbers in the unit of the target."
    )
    probabilities: list[Any] | None = Field(
        None, description="Of every class in the order of `classes`, or of the second where there are two; with a loss of classes."
    )
    labels: list[Any] | None = Field(None, description="The most probable class: its name, or its number.")
    classes: list[str] | None = Field(None, description="Names of the labels 0, 1, ...")


class AnswerQuery(Parameters):
    format: Literal["json", "csv", "npz"] | None = Field(None, description="Of the answer. Goes before `Accept`.")


class PredictQuery(AnswerQuery):
    snapshot: str = SNAPSHOT


BODY = {
    "required": True,
    "content": {
        **json_body(PredictBody, EXAMPLES)["content"],
        "text/csv": {"schema": {"type": "string"}, "example": "height,width\n1.5,2.0\n1.0,1.0\n"},
        "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
    },
}
ANSWER = json_answer(Prediction, "The answers; as CSV a line for each under a header, as .npz arrays.")
ANSWER["content"] |= {
    "text/csv": {"schema": {"type": "string"}, "example": "label,probability.door,probability.window\r\ndoor,0.75,0.25\r\n"},
    "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
}
FAULTS = refusals(
    _400="The body is not JSON.",
    _404="There is no such job, snapshot or dataset.",
    _406="No format that is accepted.",
    _411="A file whose length is not said before.",
    _413="The body is larger than the server takes.",
    _415="A media type that is not taken here.",
    _422="Something in the rows is wrong, `errors` names row and column; or they are more than are answered at once.",
    **NO_SNAPSHOT,
)


@resource.post("/<job_id>/predict", request_body=BODY, responses={200: ANSWER, **FAULTS})
@needs("read")
def predict_with_job(path: JobPath, query: PredictQuery) -> Response:
    """Ask a trained network.

    Rows come as JSON, as a CSV or .npz file (all that is taken as a dataset is taken here), or as a dataset's id; at most 100,000, and what
    20 seconds suffice for. For more, `POST /v1/jobs/{id}/predictions` makes a job of it. Of a file or a dataset the columns that the
    network does not read are passed over; of JSON they are refused. The preprocessing that was fitted in training is applied, and that of
    the target undone. While a job runs or is paused its newest checkpoint answers.

    As CSV, classes are a column `label` and one of each `probability.NAME`, numbers a column of the target's name (`NAME.0`, ... of
    several). As .npz: `outputs`, `probabilities`, `labels`, `classes`.
    """
    here, body = context(), asked()
    detail = jobs.get(here.store, tenant_id(), path.job_id)
    return predicted(here, snapshot_file(here, detail, query.snapshot), query.format, body)


def asked() -> PredictBody | None:
    """What the current request asks in JSON; None of a file. Raises Refusal."""
    if not request.is_json:
        check_file_type()
        return None
    try:
        return PredictBody.model_validate(request.get_json())
    except ValidationError as error:
        raise invalid(faults_of(error)) from None


def predicted(here: Context, found: SnapshotFile, format: str | None, body: PredictBody | None) -> Response:
    """The answer of this network to what was `asked`. Raises InvalidData, Refusal."""
    kind = chosen(format, KINDS)
    predictor = here.predictors.get(found.digest, found.size_bytes, lambda: Predictor(safetensors.read(found.content())))
    artifact, prediction = predictor.artifact, _prediction(here, predictor, body)
    if kind != "json":
        response = Response(FILES[kind](artifact, prediction), content_type=KINDS[kind])
        response.headers["Content-Disposition"] = f'attachment; filename="predictions.{kind}"'
    else:
        document: dict[str, Any] = {"target": artifact.target, "outputs": _listed(prediction.outputs)}
        if prediction.probabilities is not None and prediction.labels is not None:
            document["probabilities"] = _listed(prediction.probabilities)
            document["labels"] = _listed(prediction.labels)
            document["classes"] = classes(artifact, prediction)
        response = answer(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
    response.headers["Vary"] = "Accept"
    return response


def _prediction(here: Context, predictor: Predictor, body: PredictBody | None) -> Answers:
    """What the rows in the request are answered."""
    if body is None:
        with received(here.settings, None, here.settings.max_json_bytes) as upload:
            try:
                table = upload.read(_limits(here.settings), EVERY_COLUMN, here.settings.data_dir, predictor.texts).table
            except InvalidData as refused:
                raise InvalidData(fault.under("/inputs") for fault in refused.faults) from None
            return _of_table(predictor, table)
    if body.dataset is not None and "inputs" in body.model_fields_set:
        raise InvalidData(Fault("/dataset", "doubled_rows", "expected inputs or dataset, got both; leave one out", "one of them", "both"))
    if body.dataset is None:
        _check_rows(max(map(len, filter(_is_list, _values(body.inputs))), default=0))
        return predictor.predict(body.inputs) if isinstance(body.inputs, dict) else _predict_rows(predictor, body.inputs)
    dataset = datasets.get(here.store, tenant_id(), known_id("dataset", body.dataset))
    _check_rows(dataset.rows)
    if dataset.bytes > MOST_DATASET_BYTES:
        raise InvalidData(_too_much(f"datasets of up to {MOST_DATASET_BYTES:,} bytes", f"{dataset.bytes:,}"))
    with data_report.opened(here, dataset) as table:
        return _of_table(predictor, table)


def _of_table(predictor: Predictor, table: Table) -> Answers:
    _check_rows(table.rows)
    ends_at = time.monotonic() + MOST_SECONDS

    def between() -> None:
        if time.monotonic() > ends_at:
            raise InvalidData(_too_much(f"rows that {MOST_SECONDS:g} seconds suffice for", f"{table.rows:,} rows"))

    return predictor.answers(predictor.taken(table), between=between)


def _check_rows(rows: int) -> None:
    if rows > MOST_ROWS:
        raise InvalidData(_too_much(f"at most {MOST_ROWS:,} rows", f"{rows:,}"))


def _too_much(expected: str, got: str) -> Fault:
    message = f"expected {expected}, got {got}; send fewer at a time, or make a job of it: POST .../predictions"
    return Fault("", "too_many_rows", message, expected, got)


def _values(inputs: Any) -> list[Any]:
    return list(inputs.values()) if isinstance(inputs, dict) else [inputs]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _limits(settings: Settings) -> TableLimits:
    return TableLimits(
        max_bytes=settings.max_json_bytes,
        max_unpacked_ratio=settings.max_unpacked_ratio,
        max_rows=min(MOST_ROWS, settings.max_rows),
        max_columns=settings.max_columns,
    )


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
