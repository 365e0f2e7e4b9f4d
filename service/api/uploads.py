"""An uploaded table: received into a file before anything is made of it, however it was sent."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, cast

import numpy as np
from flask import request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from nncore.errors import Fault, InvalidData
from nncore.spec import faults_of
from nncore.table import TableLimits
from nncore.table.arrays import Scratch
from nncore.table.file import Read, read_file
from nncore.table.json import read_columns
from service.api.bodies import BLOCK_BYTES, refuse_encoding, spool
from service.api.parameters import pattern
from service.api.problems import Refusal, invalid
from service.settings import Settings
from service.store.errors import StorageFull

CSV_TYPES = {"text/csv", "application/csv", "text/tab-separated-values", "text/plain", "application/gzip"}
OTHER_TYPES = ("application/x-npz", "application/x-npy", "application/vnd.apache.parquet", "application/zip", "application/octet-stream")
GZIP_MARK = b"\x1f\x8b"
SCRATCH_BYTES = 1 << 20  # a smaller array is held in memory
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ColumnsBody(BaseModel):
    """A dataset as JSON: for each column its rows, each a number, a text (all of a column or none) or a list of numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = None
    columns: dict[str, Any] = Field(json_schema_extra={"additionalProperties": {"type": "array", "items": {}}})


class PartsBody(BaseModel):
    """A dataset out of an upload in parts (`/v1/uploads`) that is complete."""

    model_config = ConfigDict(extra="forbid", strict=True)

    upload: str = Field(pattern=pattern("upload"), description="The upload's id.")
    name: Name | None = None


@dataclass(frozen=True)
class Upload:
    """What was sent. digest: the sha256 of all of it. content: a file, or columns. upload_id: whose parts are still to fill the file."""

    name: str | None
    digest: str
    content: IO[bytes] | dict[str, Any]
    upload_id: str | None = None

    def read(self, limits: TableLimits, may_miss: Container[str], folder: Path, texts: Container[str] | None = None) -> Read:
        """The table in it. may_miss: columns that may miss numbers. Raises InvalidData with pointers into the body.

        folder: where the large arrays of a file lie meanwhile. texts: the columns of text, where that is known before.
        """
        if not isinstance(self.content, dict):
            return read_file(cast(Any, self.content), limits=limits, scratch=on_disk(folder), may_miss=may_miss, texts=texts)
        try:
            return Read(read_columns(self.content, limits=limits, may_miss=may_miss), {"format": "json"})
        except InvalidData as error:
            raise InvalidData(fault.under("/columns") for fault in error.faults) from error


def on_disk(folder: Path) -> Scratch:
    """Gives arrays that lie in nameless files there, so that they take no memory for long; small ones excepted."""

    def scratch(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        size_bytes = prod(shape) * dtype.itemsize
        if size_bytes <= SCRATCH_BYTES:
            return np.empty(shape, dtype)
        with TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)  # a full disk is told now: written to as memory, it would end the process
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))

    return scratch


@contextmanager
def received(settings: Settings, name: str | None, most_bytes: int | None = None, *, in_parts: bool = False) -> Iterator[Upload]:
    """The upload in the current request, to its last byte: a file as the body or as the part `file` of a form, or JSON columns.

    name: what the query calls it. most_bytes: of a file; without, those of a dataset. in_parts: the JSON may name an upload instead.
    Raises Refusal: 400, 413, 415 or 422. Raises StorageFull when there is no room for it.
    """
    if request.is_json:
        document = request.get_json(cache=True)
        digest = hashlib.sha256(request.get_data()).hexdigest()
        try:
            body = (PartsBody if in_parts and "upload" in document else ColumnsBody).model_validate(document)
        except ValidationError as error:
            raise invalid(faults_of(error)) from None
        if isinstance(body, ColumnsBody):
            yield Upload(body.name or name, digest, body.columns)
        else:
            with spool(settings.data_dir) as file, _room_is_needed():
                yield Upload(body.name or name, digest, file, body.upload)
        return
    request.max_content_length = settings.max_upload_bytes if most_bytes is None else most_bytes
    with _room_is_needed():
        if request.mimetype == "multipart/form-data":
            with _file_of_form() as (file, form_name, digest):
                yield Upload(name or form_name, digest, file)
        else:
            check_file_type()
            with spool(settings.data_dir) as file:
                digest = _receive(file)
                yield Upload(name, digest, file)


@contextmanager
def _room_is_needed() -> Iterator[None]:
    """Turns the errors of a full disk into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull("The upload does not fit on the server's disk.") from error
        raise


def check_file_type() -> None:
    """Raise Refusal (415) where the body of the current request is no file that is read here."""
    if request.mimetype not in {*CSV_TYPES, *OTHER_TYPES, "multipart/form-data"}:
        expected = f"text/csv, {', '.join(OTHER_TYPES)}, multipart/form-data with a part `file`, or application/json"
        got = request.mimetype or "none"
        raise Refusal(415, "unsupported_media_type", f"Expected a body with Content-Type {expected}; got {got}.")


def _receive(file: IO[bytes]) -> str:
    """Write the request's body to `file`; answer its sha256.

    Refused without a length: whether lines are missing at the end could not be seen. A form or JSON says itself where it ends.
    """
    if request.content_length is None:
        detail = (
            "Send Content-Length with a file, or send it as the part `file` of a form: a body that is cut off must not pass for a whole "
            "one."
        )
        raise Refusal(411, "length_required", detail)
    if request.headers.get("Content-Encoding", "").lower() != "gzip":  # the reader of CSV unpacks gzip, within its limits
        refuse_encoding(request)
    sha256 = hashlib.sha256()
    while block := request.stream.read(BLOCK_BYTES):
        sha256.update(block)
        file.write(block)
    file.seek(0)
    if request.headers.get("Content-Encoding", "").lower() == "gzip" and file.read(2) != GZIP_MARK:
        raise Refusal(400, "not_gzip", "The body is not gzip, which its Content-Encoding says it is. Pack it, or leave the header out.")
    file.seek(0)
    return sha256.hexdigest()


@contextmanager
def _file_of_form() -> Iterator[tuple[IO[bytes], str | None, str]]:
    """The part `file` of a form, what the form calls it, and the sha256 of both."""
    faults = [
        Fault(f"/{part[:60]}", "unknown_part", f"there is no part {part[:60]!r} here; expected file and, if you like, name")
        for part in {str(name or "") for name in (*request.files, *request.form)} - {"file", "name"}  # a part may have no name
    ]
    if len(request.files.getlist("file")) != 1:
        faults.append(Fault("/file", "missing_file", "expected one part `file` that holds the table, with a file name", "one file"))
    if len(names := request.form.getlist("name")) > 1:
        faults.append(Fault("/name", "doubled_part", f"expected one part `name`, got {len(names)}", "one part", str(len(names))))
    text = request.form.get("name")
    try:
        if text is not None:
            TypeAdapter(Name).validate_python(text)
    except ValidationError as error:
        faults += faults_of(error, "/name")
    if faults:
        raise invalid(faults)
    sent = request.files["file"]
    with sent.stream as file:
        digest = hashlib.sha256(repr(text).encode())
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
        file.seek(0)
        yield file, text or _name_of_file(sent.filename), digest.hexdigest()


def _name_of_file(filename: str | None) -> str | None:
    name = Path((filename or "").replace("\\", "/")).name.removesuffix(".gz")
    for ending in (".csv", ".tsv", ".npz", ".npy", ".parquet", ".zip"):
        name = name.removesuffix(ending)
    printable = "".join(character for character in name if character.isprintable())
    return printable[:200] or None
