"""/v1/datasets: tables that jobs are trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import IO, Any, Literal, cast

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.errors import Fault, InvalidData
from nncore.table import ColumnInfo, TableLimits
from nncore.table.file import Read
from nncore.table.missing import EVERY_COLUMN, NO_COLUMN
from service.api import examples, idempotency
from service.api.access_log import about
from service.api.answers import answer, encode, etag, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.openapi import blueprint, json_answer, reads_headers, reference, refusals
from service.api.parameters import DatasetPath, Page, Parameters, cursor
from service.api.problems import Refusal
from service.api.resumable import arrived
from service.api.uploads import OTHER_TYPES, ColumnsBody, Name, PartsBody, received
from service.api.uploads import Upload as Received
from service.settings import Settings
from service.store import blobs, quotas, trash, uploads
from service.store import datasets as stored
from service.store import idempotency as keys
from service.store.datasets import NewDataset
from service.store.errors import NotFound, QuotaExceeded, SameContent
from service.store.models import Dataset, Upload

resource = blueprint("datasets", "Tables that jobs are trained on.", "/v1/datasets")

XOR = {"name": "xor", "columns": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}}
BODY = {
    "required": True,
    "content": {
        "text/csv": {"schema": {"type": "string"}, "example": "height,width,kind\n1.5,2.0,door\n1.0,1.0,window\n"},
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in OTHER_TYPES},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}, "name": {"type": "string"}},
                "required": ["file"],
            }
        },
        "application/json": {
            "schema": {"anyOf": [reference(ColumnsBody), reference(PartsBody)]},
            "examples": {
                "xor": {"summary": "Four points in the plane, each row of x two numbers", "value": XOR},
                "categories": {
                    "summary": "A column of text is categorical",
                    "value": {"columns": {"size": [1, 2.5], "kind": ["door", "window"]}},
                },
                "upload": {"summary": "A file that was sent in parts", "value": {"upload": examples.UPLOAD, "name": "doors"}},
            },
        },
    },
}

MADE = {"Location": "Where it is.", "ETag": "The sha256 of this answer."}


class DatasetDocument(BaseModel):
    """A dataset."""

    model_config = ConfigDict(extra="forbid", title="Dataset")

    id: str
    name: str | None
    digest: str = Field(description="sha256 of the table: equal tables have equal digests, however they were sent.")
    rows: int
    bytes: int = Field(description="Of the table as it is kept.")
    columns: list[ColumnInfo]
    sniffed: dict[str, Any] | None = Field(
        description="What was found out about the file: its `format`; of CSV the `delimiter`, whether there is a `header` and "
        '`quoting`, how it is `packed`, and what was taken for `missing` values in each column, how often (`""` is an empty cell); of '
        "pictures and sounds what they have in common. In an answer of 200: of the file that was just sent."
    )
    created_at: str
    trashed_at: str | None = Field(description="When it was put into the trash.")
    purged_after: str | None = Field(description="When the trash is emptied of it: not before, and within some minutes.")


class DatasetList(BaseModel):
    """A page of datasets, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[DatasetDocument]
    next_cursor: str | None


class DatasetsQuery(Page):
    cursor: str | None = cursor("dataset")
    trash: bool = Field(False, description="Those in the trash, instead of those outside it.")


class CreateDatasetQuery(Parameters):
    name: Name | None = Field(None, description="What to call the dataset.")
    missing: Literal["refuse", "allow"] = Field(
        "refuse",
        description="Whether values may be missing: empty CSV cells, words for them in columns of numbers (NA, null, nan, None, ?, ...), "
        "nulls in JSON and Parquet, NaN in arrays. A job has to `impute` numbers that are; texts that are, are empty: a category of their "
        "own.",
    )


@resource.post(
    "",
    request_body=BODY,
    responses={
        200: json_answer(DatasetDocument, "You had a dataset of this content already: this one.", headers=MADE),
        201: json_answer(DatasetDocument, "The dataset.", headers=MADE),
        **refusals(
            _400="The body is not JSON, or a form that is cut off.",
            _404="There is no such upload in parts.",
            _409="The upload in parts is not complete (`upload_unfinished`), or what was made of it is gone (`upload_used`).",
            _411="A file whose length is not said before.",
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

    As a file (the body, the part `file` of a form, or the id of an upload in parts) or as JSON columns. Files are told by how they begin:
    CSV, plain or gzip (delimiter and header are found out); .npz, every array a column; .npy, one column `x`; Parquet (where the server has
    pyarrow); a zip of folders named for classes, with PNG or JPEG pictures (where it has Pillow) or WAV sounds of one size: columns
    `picture` (channels, height, width) or `sound`, and `label`. The answer's `sniffed` says what was found.

    A column holds numbers, or texts: then it is categorical. Booleans are the numbers 1 and 0 (in CSV: a column of `true` and `false`
    alone, in any case). Numbers are kept as float32 where that changes none of them (in CSV: none as it is written), else as int64 or
    float64. In JSON a row may also be a list of numbers, nested as you like, of one shape in all rows; or
    all rows of a column come packed, `{"dtype": "float32", "shape": [rows, ...], "base64": "..."}`, little-endian in C order. Missing
    values (unless they are allowed: `missing=allow`), infinity and ragged rows are refused, with row and column.

    Content you have uploaded before is not stored again: the answer is 200 with the dataset you have, under the name it has. Only its
    `sniffed` is then of what was just sent (null where that is an upload in parts that was read before), and is not kept.
    """
    here = context()
    with received(here.settings, query.name, in_parts=True) as upload:
        once = idempotency.once(upload.digest)
        made = once and keys.earlier(here.store, tenant_id(), once)
        if not made:
            parts = arrived(upload.upload_id, cast(IO[bytes], upload.content)) if upload.upload_id else None
            if parts and parts.dataset_id:
                return _same(_made_of(parts), None)
            read = _read(upload, query.missing == "allow", here.settings)
            if same := stored.with_content(here.store, tenant_id(), read.table.digest):
                return _same(same, read.sniffed, parts)
            header = read.table.header()
            quotas.room_is_left(here.store, tenant_id(), header["bytes"] - (parts.bytes if parts else 0))
            new = NewDataset(
                tenant_id=tenant_id(),
                name=upload.name,
                digest=read.table.digest,
                rows=read.table.rows,
                bytes=header["bytes"],
                columns=[column.model_dump(mode="json") for column in read.table.info()],
                header=header,
                blob_id=blobs.write(here.store, read.table.chunks(blobs.CHUNK_BYTES)),
                sniffed=read.sniffed,
            )
            try:
                made = stored.create(
                    here.store, new, answer=lambda dataset: encode(document(dataset)), once=once, upload_id=upload.upload_id
                )
            except QuotaExceeded:  # another upload took the room meanwhile
                blobs.remove(here.store, [new.blob_id])
                raise
            except SameContent as error:  # another upload was quicker
                blobs.remove(here.store, [new.blob_id])
                return _same(error.dataset, read.sniffed, parts)
            if made.replayed:  # a twin was quicker
                blobs.remove(here.store, [new.blob_id])
            if parts:
                blobs.remove(here.store, [parts.blob_id])
    about(dataset_id=made.id)
    return idempotency.created(made, 201, f"/v1/datasets/{made.id}")


def _made_of(parts: Upload) -> Dataset:
    """What was made of an upload in parts earlier. Raises Refusal (409) where that is gone."""
    dataset_id = parts.dataset_id or ""
    try:
        return stored.get(context().store, tenant_id(), dataset_id)
    except NotFound as error:
        detail = f"The upload {parts.id} has become the dataset {dataset_id}, and its bytes are gone. {error} Upload the file again."
        raise Refusal(409, "upload_used", detail) from None


def _read(upload: Received, may_miss: bool, settings: Settings) -> Read:
    """The table that was sent. Raises InvalidData; where it only misses values that may not be missing, with how to allow it."""
    try:
        return upload.read(limits(settings), EVERY_COLUMN if may_miss else NO_COLUMN, settings.data_dir)
    except InvalidData as refused:
        if may_miss:
            raise
        raise InvalidData(_allowing(fault) for fault in refused.faults) from None


def _allowing(fault: Fault) -> Fault:
    """The fault; of a value that is missing, with how to allow that."""
    if fault.code != "empty_cell" and fault.got != "nan":
        return fault
    return replace(fault, message=f'{fault.message}, or allow it: missing=allow (--missing allow; in Python missing="allow")')


def _same(dataset: Dataset, sniffed: dict[str, Any] | None, parts: Upload | None = None) -> Response:
    """200: the content was there before. sniffed: what was found in the bytes just sent. parts: the upload that brought it once more."""
    if parts:
        uploads.became(context().store, parts, dataset.id)
    about(dataset_id=dataset.id)
    body = encode({**document(dataset), "sniffed": sniffed})
    return answer(body, ETag=etag(body), Location=f"/v1/datasets/{dataset.id}")


@resource.get("", responses={200: json_answer(DatasetList, "A page of datasets.")})
@needs("read")
def list_datasets(query: DatasetsQuery) -> Response:
    """List the datasets, newest first; what is in the trash only where it is asked for."""
    found = stored.page(context().store, tenant_id(), limit=query.limit + 1, before=query.cursor, in_trash=query.trash)
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
    return _shown(stored.get(context().store, tenant_id(), path.dataset_id, in_trash=True))


NEEDED = {
    **refusals(_404="There is no such dataset.", _409="Jobs that have not ended need it (`dataset_in_use`); the detail names them."),
}


class Purged(BaseModel):
    """What was deleted for good."""

    model_config = ConfigDict(extra="forbid")

    id: str
    freed_bytes: int


@resource.delete("/<dataset_id>", responses={200: json_answer(DatasetDocument, "The dataset; it is in the trash."), **NEEDED})
@needs("write")
def trash_dataset(path: DatasetPath) -> Response:
    """Put a dataset into the trash.

    No job can be made of it there, and lists leave it out; what was trained on it stays. It can be restored until the trash is emptied of
    it, which `purged_after` says (and `GET /v1/retention`). Its bytes count as stored until then.
    """
    return _shown(trash.put(context().store, tenant_id(), path.dataset_id))


@resource.post(
    "/<dataset_id>/restore", responses={200: json_answer(DatasetDocument, "The dataset."), **refusals(_404="There is no such dataset.")}
)
@needs("write")
def restore_dataset(path: DatasetPath) -> Response:
    """Take a dataset out of the trash."""
    return _shown(trash.restore(context().store, tenant_id(), path.dataset_id))


@resource.post("/<dataset_id>/purge", responses={200: json_answer(Purged, "What was freed."), **NEEDED})
@needs("write")
def purge_dataset(path: DatasetPath) -> Response:
    """Delete a dataset for good, in the trash or not, and say how many bytes that frees. Jobs that were trained on it stay."""
    freed_bytes = trash.purge(context().store, tenant_id(), path.dataset_id)
    return answer(encode({"id": path.dataset_id, "freed_bytes": freed_bytes}))


def _shown(dataset: Dataset) -> Response:
    body = encode(document(dataset))
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
        "sniffed": dataset.sniffed,
        "created_at": iso_time(dataset.created_at),
        "trashed_at": iso_time(dataset.trashed_at),
        "purged_after": iso_time(dataset.trashed_at and dataset.trashed_at + context().settings.trash_retention_seconds),
    }


def limits(settings: Settings) -> TableLimits:
    """How large a table may be."""
    return TableLimits(
        max_bytes=settings.max_upload_bytes,
        max_unpacked_ratio=settings.max_unpacked_ratio,
        max_rows=settings.max_rows,
        max_columns=settings.max_columns,
    )
