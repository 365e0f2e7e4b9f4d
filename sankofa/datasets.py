"""Datasets: uploading a table in whatever form it is at hand, and looking them up."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from sankofa.columns import ALLOW, column_list, is_array, is_frame, is_series, of_array, of_frame, of_series, told
from sankofa.connection import Connection, Content, quoted
from sankofa.errors import InvalidInput
from sankofa.parts import PARTS_FROM_BYTES, Parts, send
from sankofa.sending import shown

SHOWN_COLUMNS = 8
ONLY_COLUMN = "x"
"""What the service, too, calls the column of a single array."""

# A file as a path, as bytes or open; a frame; or columns by name, as lists or arrays.
Table = str | os.PathLike[str] | bytes | BinaryIO | Mapping[str, Any] | Any


@dataclass(frozen=True)
class Dataset:
    """A table of named columns that the service keeps. Equal content has an equal `digest`.

    created: of an upload, whether it made this dataset; False: the same content was there before, under the name it has. Else None.
    """

    id: str
    name: str | None
    digest: str
    rows: int
    columns: tuple[dict[str, Any], ...]
    document: dict[str, Any]
    created: bool | None = field(default=None, compare=False)

    @classmethod
    def from_document(cls, document: dict[str, Any], created: bool | None = None) -> Dataset:
        columns = tuple(document["columns"])
        return cls(document["id"], document.get("name"), document["digest"], document["rows"], columns, document, created)

    def __repr__(self) -> str:
        names = ", ".join([*map(str, self.column_names[:SHOWN_COLUMNS]), *(["..."] if len(self.columns) > SHOWN_COLUMNS else [])])
        before = "; it was there before" if self.created is False else ""
        named = "" if self.name is None else f" {self.name!r}"
        return f"<Dataset {self.id}{named}: {self.rows:,} rows, {len(self.columns):,} columns ({names}){before}>"

    @property
    def column_names(self) -> list[str]:
        return [column["name"] for column in self.columns]


class Datasets:
    """The datasets of a service: `client.datasets`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upload(
        self,
        table: Table,
        *,
        name: str | None = None,
        missing: Literal["refuse", "allow"] = "refuse",
        idempotency_key: str | None = None,
        progress: bool | None = None,
    ) -> Dataset:
        """Send a table and return it as the service understood it.

        A file of 32 MiB or more goes in parts: a connection that breaks is taken up where it broke, and the same file sent again goes on
        where it stands.

        table: the path of a file (CSV, plain or gzip, npz, npy, Parquet, a zip of class folders), such a file as bytes or open in binary
        mode, a frame of pandas or polars, columns by name: lists or numpy arrays (rows, *item_shape) of equal length; or a single array,
        which becomes the column x.
        name: defaults to the file's name without its endings. missing: whether values may be: empty cells and words for them (NA, ?, ...)
        of a file, None, NaN and pandas' NA. A job has to `impute` numbers that are; texts that are, are a category of their own.
        What was uploaded before is not stored again: it keeps its name, and `created` of the answer is False.
        progress: whether a file in parts shows how it goes; None: where that is seen, in a terminal or a notebook.
        Raises InvalidInput for what cannot be sent, InvalidRequest for a table that the service refuses.
        """
        allowing = {} if missing == "refuse" else {"missing": missing}
        if is_frame(table):
            table = of_frame(table)
        elif is_array(table) or is_series(table):
            table = {ONLY_COLUMN: table}
        if isinstance(table, Mapping):
            table = {str(column): of_series(values) if is_series(values) else of_array(values) for column, values in table.items()}
        if isinstance(table, Mapping) and table and all(_is_packable(values, missing) for values in table.values()):
            options = {"name": name or "columns", **allowing}
            return self._create(_npz(table), "application/x-npz", options, idempotency_key, progress)
        if isinstance(table, Mapping):
            may_miss = missing == "allow"
            columns = {column: column_list(column, values, may_miss=may_miss, remedy=ALLOW) for column, values in table.items()}
            document = {"name": name or "columns", "columns": columns}
            return self._create(json.dumps(document, allow_nan=False).encode(), "application/json", allowing, idempotency_key)
        content: bytes | Path
        if isinstance(table, bytes):
            content = table
        elif isinstance(table, str | os.PathLike):
            path = Path(table)
            name = name or name_of(path)
            if not path.is_file():
                raise InvalidInput(f"{path}: expected a CSV file, found {'a folder' if path.is_dir() else 'nothing'} there")
            content = path
        else:
            if not hasattr(table, "read"):
                raise InvalidInput(
                    f'expected a file, a frame, an array, or columns by name, as {{"x": array, "y": labels}}; got {told(table)}'
                )
            content = table.read()
            if not isinstance(content, bytes):
                raise InvalidInput(f"table: expected a file opened in binary mode, got one that reads {type(content).__name__}")
        return self._create(content, "text/csv", {"name": name, **allowing}, idempotency_key, progress)

    def get(self, dataset_id: str) -> Dataset:
        """The dataset with this id. Raises NotFound."""
        return Dataset.from_document(self._connection.get(f"/v1/datasets/{quoted(dataset_id, 'a dataset')}"))

    def id_of(self, data: Dataset | Table, *, missing: Literal["refuse", "allow"] = "refuse") -> str:
        """The id of a dataset: of one that is given as such or by its id, else of `data`, which is uploaded."""
        if isinstance(data, Dataset):
            return data.id
        if isinstance(data, str) and data.startswith("ds_") and not os.path.exists(data):
            return data
        return self.upload(data, missing=missing).id

    def list(self, *, trash: bool = False) -> Iterator[Dataset]:
        """Every dataset, newest first, fetched page by page. trash: those in the trash, instead."""
        found = self._connection.pages("/v1/datasets", trash="true" if trash else None)
        return (Dataset.from_document(document) for document in found)

    def trash(self, dataset_id: str) -> Dataset:
        """Put the dataset into the trash, from where `restore` takes it until `document["purged_after"]`. Raises Conflict."""
        response = self._connection.request("DELETE", f"/v1/datasets/{quoted(dataset_id, 'a dataset')}")
        return Dataset.from_document(self._connection.document(response))

    def restore(self, dataset_id: str) -> Dataset:
        """Take the dataset out of the trash."""
        response = self._connection.request("POST", f"/v1/datasets/{quoted(dataset_id, 'a dataset')}/restore")
        return Dataset.from_document(self._connection.document(response))

    def purge(self, dataset_id: str) -> int:
        """Delete the dataset for good; answers the bytes that frees. Raises Conflict while a job needs it."""
        response = self._connection.request("POST", f"/v1/datasets/{quoted(dataset_id, 'a dataset')}/purge")
        return int(self._connection.document(response)["freed_bytes"])

    def uploads(self) -> Iterator[dict[str, Any]]:
        """The files that arrive or have arrived in parts, newest first: id, bytes, received_bytes, dataset, expires_at."""
        return self._connection.pages("/v1/uploads")

    def drop_upload(self, upload_id: str) -> None:
        """Drop an upload in parts and what has arrived of it; a dataset that was made of it stays."""
        self._connection.request("DELETE", f"/v1/uploads/{quoted(upload_id, 'an upload')}")

    def profile(self, dataset_id: str) -> dict[str, Any]:
        """What every column holds: `columns`, each with dtype, missing, distinct, and its `numbers` or its most frequent `values`."""
        return dict(self._connection.get(f"/v1/datasets/{quoted(dataset_id, 'a dataset')}/profile"))

    def audit(
        self,
        dataset_id: str,
        *,
        target: str | None = None,
        group: str | None = None,
        fraction: float | None = None,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """What in the data would teach a network wrong priorities: `findings`, the worst first.

        target: the column to be learnt. group: one that names whom a row belongs to. fraction, seed: of the validation that a job will
        have. `job.audit()` looks at a job's own. Raises InvalidRequest for a column that there is not.
        """
        asked = {"target": target, "group": group, "fraction": fraction, "seed": seed}
        return dict(self._connection.get(f"/v1/datasets/{quoted(dataset_id, 'a dataset')}/audit", **asked))

    def _create(
        self,
        content: bytes | Path,
        content_type: str,
        params: dict[str, Any],
        idempotency_key: str | None,
        progress: bool | None = None,
    ) -> Dataset:
        if content_type != "application/json" and (parts := Parts(content)).bytes >= PARTS_FROM_BYTES:
            with shown(params.get("name") or "upload", parts.bytes, progress) as watcher:
                upload_id = send(self._connection, parts, watcher)
                watcher.reading()
                return self._post(json.dumps({"upload": upload_id}).encode(), "application/json", params, idempotency_key)
        return self._post(content if isinstance(content, bytes) else _opener(content), content_type, params, idempotency_key)

    def _post(self, content: Content, content_type: str, params: dict[str, Any], idempotency_key: str | None) -> Dataset:
        response = self._connection.request(
            "POST",
            "/v1/datasets",
            params=params,
            content=content,
            headers={"Content-Type": content_type},
            idempotency_key=idempotency_key,
            # A large table takes the service a while to read.
            timeout_seconds=max(self._connection.timeout_seconds, 600.0),
        )
        return Dataset.from_document(self._connection.document(response), response.status_code == 201)


def name_of(path: Path) -> str:
    """What a file's dataset is called: as the file, without its endings."""
    return re.sub(r"(\.(csv|tsv|npz|npy|parquet|zip))?(\.gz)?$", "", path.name)


def _is_packable(values: Any, missing: str) -> bool:
    """Whether the values are an array of numbers or texts that NumPy's own file holds as they are, and the service takes."""
    if not is_array(values):
        return False
    kind = values.dtype.kind
    return kind != "f" or missing == "allow" or not bool((values != values).any() or (abs(values) == float("inf")).any())


def _npz(columns: Mapping[str, Any]) -> bytes:
    """The arrays as an .npz file."""
    import zipfile

    import numpy

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, values in columns.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, numpy.asarray(values), allow_pickle=False)
    return packed.getvalue()


def _opener(path: Path) -> Callable[[], BinaryIO]:
    """A function that opens the file for one attempt to send it."""
    return lambda: path.open("rb")
