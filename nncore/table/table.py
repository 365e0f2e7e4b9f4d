"""A table: named columns of equally many rows, and its canonical file.

The file is a sequence of columns, each raw little-endian numbers in C order, each beginning at a multiple of 64 bytes
(zeros between), so that a mapped column is aligned. What the bytes mean stands in the header, a JSON object kept beside them:

    {"format": "sankofa-table-1", "rows": 4, "bytes": 80, "columns": [
        {"name": "x", "dtype": "float32", "item_shape": [2], "categories": null, "offset": 0, "bytes": 32}, ...]}

The digest is taken over both. Equal tables have equal digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nncore.errors import InvalidFile
from nncore.table.column import Column, ColumnInfo, ColumnType

FORMAT = "sankofa-table-1"
ALIGNMENT_BYTES = 64
_STORED: dict[ColumnType, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "int64": np.dtype("<i8"),
    "category": np.dtype("<i8"),
}


class Table:
    """Columns of equally many rows, at least one of each, under different names."""

    def __init__(self, columns: Iterable[Column]) -> None:
        self.columns = tuple(columns)
        self._by_name = {column.name: column for column in self.columns}
        lengths = {len(column.values) for column in self.columns}
        if len(lengths) != 1 or 0 in lengths or len(self._by_name) != len(self.columns):
            raise ValueError("a table needs at least one column, at least one row, equal lengths and different names")
        self.rows = lengths.pop()

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    def info(self) -> list[ColumnInfo]:
        return [column.info() for column in self.columns]

    def header(self) -> dict[str, Any]:
        """What describes the file; JSON."""
        columns: list[dict[str, Any]] = []
        offset = 0
        for column in self.columns:
            size_bytes = column.values.size * _STORED[column.dtype].itemsize
            columns.append(
                {
                    "name": column.name,
                    "dtype": column.dtype,
                    "item_shape": list(column.item_shape),
                    "categories": None if column.categories is None else list(column.categories),
                    "offset": offset,
                    "bytes": size_bytes,
                }
            )
            offset += _aligned(size_bytes)
        return {"format": FORMAT, "rows": self.rows, "bytes": offset, "columns": columns}

    def chunks(self, size_bytes: int) -> Iterator[bytes]:
        """The bytes of the file, cut into pieces of `size_bytes` (the last may be shorter)."""
        pending = bytearray()
        for part in self._parts(size_bytes):
            pending += part
            while len(pending) >= size_bytes:
                yield bytes(pending[:size_bytes])
                del pending[:size_bytes]
        if pending:
            yield bytes(pending)

    @cached_property
    def digest(self) -> str:
        """ "sha256:..." over the canonical JSON of the header and then the bytes of the file."""
        sha256 = hashlib.sha256(json.dumps(self.header(), sort_keys=True, separators=(",", ":")).encode("ascii"))
        for part in self._parts(2**20):
            sha256.update(part)
        return "sha256:" + sha256.hexdigest()

    def _parts(self, size_bytes: int) -> Iterator[memoryview | bytes]:
        """The bytes of the file in pieces of about `size_bytes` or less, without a copy of a whole column."""
        for column in self.columns:
            stored = _STORED[column.dtype]
            flat = column.values.reshape(-1)
            step = max(1, size_bytes // stored.itemsize)
            for at in range(0, flat.size, step):
                yield np.require(flat[at : at + step], dtype=stored, requirements="C").data.cast("B")
            written = flat.size * stored.itemsize
            yield bytes(_aligned(written) - written)

    @classmethod
    def open(cls, path: str | Path, header: Mapping[str, Any]) -> Table:
        """The table of a file, its columns mapped from the disk (read only) and not read before they are used.

        Raises InvalidFile where header and file do not belong together.
        """
        try:
            described = _Header.model_validate(header)
        except ValidationError as error:
            raise InvalidFile(f"not the header of a table: {error.error_count()} of its fields are wrong") from None
        size_bytes = Path(path).stat().st_size
        if size_bytes != described.bytes:
            raise InvalidFile(f"{Path(path).name}: expected a file of {described.bytes:,} bytes, got {size_bytes:,}")
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        columns = []
        for column in described.columns:
            stored = _STORED[column.dtype]
            expected = stored.itemsize * described.rows * int(np.prod(column.item_shape, dtype=object))
            if column.bytes != expected or column.offset + column.bytes > size_bytes:
                raise InvalidFile(f'column "{column.name}": expected {expected:,} bytes, got {column.bytes:,} at {column.offset:,}')
            raw = mapped[column.offset : column.offset + column.bytes]
            values = raw.view(np.ndarray).view(stored).reshape(described.rows, *column.item_shape)
            columns.append(Column(column.name, values, None if column.categories is None else tuple(column.categories)))
        return cls(columns)


class _ColumnHeader(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    dtype: ColumnType
    item_shape: list[Annotated[int, Field(ge=1)]]
    categories: list[str] | None
    offset: int = Field(ge=0, multiple_of=ALIGNMENT_BYTES)
    bytes: int = Field(ge=1)


class _Header(BaseModel):
    model_config = ConfigDict(extra="ignore")

    format: str = Field(pattern=f"^{FORMAT}$")
    rows: int = Field(ge=1)
    bytes: int = Field(ge=1)
    columns: Sequence[_ColumnHeader] = Field(min_length=1)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
