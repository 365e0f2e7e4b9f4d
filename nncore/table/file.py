"""read_file: a table from a file of any kind that is known, told by how it begins."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from nncore.table.archive import opened
from nncore.table.arrays import Scratch
from nncore.table.class_folders import read_folders
from nncore.table.csv import Gaps, read_csv_and_gaps
from nncore.table.dialect import sniff
from nncore.table.limits import TableLimits
from nncore.table.npy import read_npy, read_npz
from nncore.table.parquet import read_parquet
from nncore.table.table import Table
from nncore.table.text import read_blocks

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Read:
    """A table, and what was found out about the file it came in. sniffed: `format` and what belongs to it, JSON."""

    table: Table
    sniffed: dict[str, Any] = field(default_factory=dict)


def read_file(
    stream: BinaryIO,
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    scratch: Scratch = np.empty,
    may_miss: Container[str] = frozenset(),
    texts: Container[str] | None = None,
) -> Read:
    """The table in a file: .npy, .npz, Parquet, a zip of class folders, else CSV, plain or gzip. The stream can seek.

    scratch: gives the arrays that columns are put into. texts: the columns of text in a CSV file, where that is known before (see
    csv.py). Raises InvalidData with every fault found.
    """
    stream.seek(0)
    first = stream.read(6)
    stream.seek(0)
    if first == b"\x93NUMPY":
        return Read(read_npy(stream, limits=limits, scratch=scratch, may_miss=may_miss), {"format": "npy"})
    if first.startswith(b"PAR1"):
        return Read(read_parquet(stream, limits=limits, scratch=scratch, may_miss=may_miss), {"format": "parquet"})
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with opened(stream, limits) as archive:
            names = archive.namelist()
            if names and all(name.endswith(".npy") for name in names):
                return Read(read_npz(archive, limits=limits, scratch=scratch, may_miss=may_miss), {"format": "npz"})
            table, common = read_folders(archive, limits=limits, scratch=scratch)
            return Read(table, {"format": "class_folders", **common})
    table, gaps = read_csv_and_gaps(stream, limits=limits, may_miss=may_miss, texts=texts)
    return Read(table, _dialect(stream, limits, gaps))


def _dialect(stream: BinaryIO, limits: TableLimits, gaps: Gaps) -> dict[str, Any]:
    """How a CSV file that was read without a fault is written, and what in it was taken for missing values."""
    stream.seek(0)
    packed = stream.read(2) == _GZIP
    stream.seek(0)
    block = next(read_blocks(stream, limits))
    dialect = sniff(block.lines, limits)
    assert dialect is not None
    return {
        "format": "csv",
        "delimiter": dialect.delimiter,
        "header": dialect.has_header,
        "quoting": block.quoted,
        "packed": "gzip" if packed else None,
        "missing": gaps,
    }
