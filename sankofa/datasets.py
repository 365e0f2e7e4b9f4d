"""Datasets: uploading a table in whatever form it is at hand, and looking them up."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

from sankofa.connection import Connection, Content
from sankofa.errors import InvalidInput

# A file as a path, as bytes or open; a frame; or columns by name, as lists or arrays.
Table = str | os.PathLike[str] | bytes | BinaryIO | Mapping[str, Any] | Any


@dataclass(frozen=True)
class Dataset:
    """A table of named columns that the service keeps. Equal content has an equal `digest`."""

    id: str
    name: str | None
    digest: str
    rows: int
    columns: tuple[dict[str, Any], ...]
    document: dict[str, Any]

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Dataset:
        return cls(document["id"], document.get("name"), document["digest"], document["rows"], tuple(document["columns"]), document)

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
    ) -> Dataset:
        """Send a table and return it as the service understood it.

        table: the path of a file (CSV, plain or gzip, npz, npy, Parquet, a zip of class folders), such a file as bytes or open in binary
        mode, a frame of pandas or polars, or columns by name: lists or numpy arrays (rows, *item_shape) of equal length.
        name: defaults to the file's name without its endings. missing: whether an empty cell, or None, may stand for a number that is
        not there; a job then has to `impute` it.
        Raises InvalidInput for what cannot be sent, InvalidRequest for a table that the service refuses.
        """
        allowing = {} if missing == "refuse" else {"missing": missing}
        if hasattr(table, "columns") and hasattr(table, "__getitem__"):
            table = {str(column): _of_frame(table[column]) for column in table.columns}
        if isinstance(table, Mapping) and table and all(_is_packable(values, missing) for values in table.values()):
            return self._create(_npz(table), "application/x-npz", {"name": name or "columns", **allowing}, idempotency_key)
        if isinstance(table, Mapping):
            document = {"name": name or "columns", "columns": {column: column_list(column, values) for column, values in table.items()}}
            return self._create(json.dumps(document, allow_nan=False).encode(), "application/json", allowing, idempotency_key)
        content: Content
        if isinstance(table, bytes):
            content = table
        elif isinstance(table, str | os.PathLike):
            path = Path(table)
            name = name or re.sub(r"(\.(csv|tsv|npz|npy|parquet|zip))?(\.gz)?$", "", path.name)
            content = _opener(path)
        else:
            content = table.read()
            if not isinstance(content, bytes):
                raise InvalidInput(f"table: expected a file opened in binary mode, got one that reads {type(content).__name__}")
        return self._create(content, "text/csv", {"name": name, **allowing}, idempotency_key)

    def get(self, dataset_id: str) -> Dataset:
        """The dataset with this id. Raises NotFound."""
        return Dataset.from_document(self._connection.get(f"/v1/datasets/{quote(dataset_id, safe='')}"))

    def list(self) -> Iterator[Dataset]:
        """Every dataset, newest first, fetched page by page."""
        return (Dataset.from_document(document) for document in self._connection.pages("/v1/datasets"))

    def _create(self, content: Content, content_type: str, params: dict[str, Any], idempotency_key: str | None) -> Dataset:
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
        return Dataset.from_document(self._connection.document(response))


def _of_frame(series: Any) -> Any:
    """The values of a frame's column: an array of numbers, or a list."""
    values = series.to_numpy()
    return values if values.dtype.kind in "biufU" else [None if value != value else value for value in series.to_list()]


def _is_packable(values: Any, missing: str) -> bool:
    """Whether the values are an array of numbers or texts that NumPy's own file holds as they are, and the service takes."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind not in tuple("biufU") or not getattr(values, "ndim", 0):
        return False
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


def column_list(name: str, values: Any) -> list[Any]:
    """The values of a column as a list that JSON can carry. Raises InvalidInput naming the column."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(listed, Sequence) or isinstance(listed, str | bytes):
        raise InvalidInput(f"column {name!r}: expected a list or an array, got {type(values).__name__}")
    try:
        json.dumps(listed, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"column {name!r}: expected finite numbers or text, got something else ({error})") from error
    return list(listed)


def _opener(path: Path) -> Callable[[], BinaryIO]:
    """A function that opens the file for one attempt to send it."""
    if not path.is_file():
        raise InvalidInput(f"{path}: expected a CSV file, found {'a folder' if path.is_dir() else 'nothing'} there")
    return lambda: path.open("rb")
