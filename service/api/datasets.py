"""/v1/datasets: tables that jobs are trained on."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.table import ColumnInfo, TableLimits
from nncore.table.missing import EVERY_COLUMN, NO_COLUMN
from service.api import idempotency
from service.api.access_log import about
from service.api.answers import answer, encode, etag, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.openapi import blueprint, json_answer, reads_headers, reference, refusals
from service.api.parameters import DatasetPath, Page, Parameters, cursor
from service.api.uploads import ColumnsBody, Name, received
from service.settings import Settings
from service.store import blobs, quotas
from service.store import datasets as stored
from service.store import idempotency as keys
from service.store.datasets import NewDataset
from service.store.errors import QuotaExceeded
from service.store.models import Dataset

resource = blueprint("datasets", "Tables that jobs are trained on.", "/v1/datasets")

XOR = {"name": "xor", "columns": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}}
BODY = {
    "required": True,
    "content": {
        "text/csv": {"schema": {"type": "string"}, "example": "height,width,kind\n1.5,2.0,door\n1.0,1.0,window\n"},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}, "name": {"type": "string"}},
                "required": ["file"],
            }
        },
        "application/json": {
            "schema": reference(ColumnsBody),
            "examples": {
                "xor": {"summary": "Four points in the plane, each row of x two numbers", "value": XOR},
                "categories": {
                    "summary": "A column of text is categorical",
                    "value": {"columns": {"size": [1, 2.5], "kind": ["door", "window"]}},
                },
            },
        },
    },
}


class DatasetDocument(BaseModel):
    """A dataset."""

    model_config = ConfigDict(extra="forbid", title="Dataset")

    id: str
    name: str | None
    digest: str = Field(description="sha256 of the table: equal tables have equal digests, however they were sent.")
    rows: int
    bytes: int = Field(description="Of the table as it is kept.")
    columns: list[ColumnInfo]
    created_at: str


class DatasetList(BaseModel):
    """A page of datasets, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[DatasetDocument]
    next_cursor: str | None


class DatasetsQuery(Page):
    cursor: str | None = cursor("dataset")


class CreateDatasetQuery(Parameters):
    name: Name | None = Field(None, description="What to call the dataset.")
    missing: Literal["refuse", "allow"] = Field(
        "refuse",
        description="Whether an empty CSV cell, or a null in JSON, may stand for a missing number. A job that takes such a column has to "
        "`impute` it.",
    )


@resource.post(
    "",
    request_body=BODY,
    responses={
        201: json_answer(DatasetDocument, "The dataset.", headers={"Location": "Where it is.", "ETag": "The sha256 of this answer."}),
        **refusals(
            _400="The body is not JSON, or a form that is cut off.",
            _411="CSV whose length is not said before.",
            _413="The body is larger than the server takes.",
            _415="A media type that is not taken here.",
            _422="Something in the table is wrong: `errors` names row and column.",
            _507="No room left.",
        ),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_dataset(query: CreateDatasetQuery) -> Response:
    """Upload a dataset.

    As CSV (the body, or the part `file` of a form; plain or gzip; delimiter and header are found out), or as JSON columns. A column
    holds numbers, or texts: then it is categorical. Numbers are kept as float32 where that changes none of them (in CSV: none as it
    is written), else as int64 or float64. In JSON a row may also be a list of numbers, nested as you like, of one shape in all rows.
    NaN, infinity, empty cells (unless numbers may be missing: `missing=allow`) and ragged rows are refused, with row and column.
    """
    here = context()
    with received(here.settings, query.name) as upload:
        once = idempotency.once(upload.digest)
        made = once and keys.earlier(here.store, tenant_id(), once)
        if not made:
            table = upload.table(limits(here.settings), EVERY_COLUMN if query.missing == "allow" else NO_COLUMN)
            header = table.header()
            quotas.room_is_left(here.store, tenant_id(), header["bytes"])
            new = NewDataset(
                tenant_id=tenant_id(),
                name=upload.name,
                digest=table.digest,
                rows=table.rows,
                bytes=header["bytes"],
                columns=[column.model_dump(mode="json") for column in table.info()],
                header=header,
                blob_id=blobs.write(here.store, table.chunks(blobs.CHUNK_BYTES)),
            )
            try:
                made = stored.create(here.store, new, answer=lambda dataset: encode(document(dataset)), once=once)
            except QuotaExceeded:  # another upload took the room meanwhile
                blobs.remove(here.store, [new.blob_id])
                raise
            if made.replayed:  # a twin was quicker
                blobs.remove(here.store, [new.blob_id])
    about(dataset_id=made.id)
    return idempotency.created(made, 201, f"/v1/datasets/{made.id}")


@resource.get("", responses={200: json_answer(DatasetList, "A page of datasets.")})
@needs("read")
def list_datasets(query: DatasetsQuery) -> Response:
    """List the datasets, newest first."""
    found = stored.page(context().store, tenant_id(), limit=query.limit + 1, before=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].id if len(found) > query.limit else None
    return answer(encode({"data": [document(dataset) for dataset in shown], "next_cursor": cursor}))


@resource.get(
    "/<dataset_id>",
    responses={
        200: json_answer(DatasetDocument, "The dataset.", headers={"ETag": "The sha256 of this answer."}),
        **refusals(_404="There is no such dataset."),
    },
)
@needs("read")
def get_dataset(path: DatasetPath) -> Response:
    """Describe a dataset: its columns, what they hold, its digest."""
    body = encode(document(stored.get(context().store, tenant_id(), path.dataset_id)))
    return answer(body, ETag=etag(body))


def document(dataset: Dataset) -> dict[str, Any]:
    """The dataset as the API shows it."""
    return {
        "id": dataset.id,
        "name": dataset.name,
        "digest": dataset.digest,
        "rows": dataset.rows,
        "bytes": dataset.bytes,
        "columns": dataset.columns,
        "created_at": iso_time(dataset.created_at),
    }


def limits(settings: Settings) -> TableLimits:
    """How large a table may be."""
    return TableLimits(
        max_bytes=settings.max_upload_bytes,
        max_unpacked_ratio=settings.max_unpacked_ratio,
        max_rows=settings.max_rows,
        max_columns=settings.max_columns,
    )
