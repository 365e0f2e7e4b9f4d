"""read_npy, read_npz: tables from NumPy's files. What a header claims is held against the bytes there are before memory is taken."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Container
from math import prod
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy_format

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, pointer, short
from nncore.table.arrays import Scratch, column_of, shape_fault
from nncore.table.column import Column
from nncore.table.limits import TableLimits
from nncore.table.names import name_faults
from nncore.table.table import Table

ONLY_COLUMN = "x"
"""What the column of a .npy file is called."""

_READ_BYTES = 2**20
_HEADERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def read_npy(
    stream: BinaryIO,
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    scratch: Scratch = np.empty,
    may_miss: Container[str] = frozenset(),
) -> Table:
    """The table of one column, x, in a .npy file. Raises InvalidData."""
    size_bytes = stream.seek(0, 2)
    stream.seek(0)
    faults = Faults()
    array = _read(ONLY_COLUMN, stream, size_bytes, limits, faults, scratch)
    column = None if array is None else column_of(ONLY_COLUMN, array, limits, faults, scratch=scratch, may_miss=ONLY_COLUMN in may_miss)
    if column is None:
        raise InvalidData(faults.found)
    return Table([column])


def read_npz(
    archive: zipfile.ZipFile,
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    scratch: Scratch = np.empty,
    may_miss: Container[str] = frozenset(),
) -> Table:
    """The table of a .npz file, opened by `archive.opened`: every array a column. Raises InvalidData with every fault found."""
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    faults = Faults()
    faults.extend(name_faults([member.filename.removesuffix(".npy") for member in archive.infolist()], limits))
    columns: list[Column] = []
    for name, member in members.items() if not faults else ():
        with archive.open(member) as stream:
            array = _read(name, cast(BinaryIO, stream), member.file_size, limits, faults, scratch)
        column = None if array is None else column_of(name, array, limits, faults, scratch=scratch, may_miss=name in may_miss)
        if column is not None:
            columns.append(column)
    return table_of(columns, limits, faults)


def table_of(columns: list[Column], limits: TableLimits, faults: Faults) -> Table:
    """The table of columns that were read one by one. Raises InvalidData with `faults`, and where they do not make a table together."""
    if not columns and not faults:
        faults.add("", "empty", "expected at least one column, got none", expected="at least one column", got="none")
    lengths = Counter(len(column.values) for column in columns)
    usual = max(lengths, key=lambda length: lengths[length], default=0)
    for column in columns:
        if len(column.values) != usual:
            wanted, got = f"{usual:,} rows, as in the other columns", f"{len(column.values):,}"
            message = f"column {short(column.name)}: expected {wanted}, got {got}"
            faults.add(pointer(column.name), "unequal_lengths", message, expected=wanted, got=got)
    if (cells := sum(column.values.size for column in columns)) > limits.max_cells:
        most = f"at most {limits.max_cells:,} cells"
        faults.add("", "too_many_cells", f"expected {most}, got {cells:,}; send fewer rows or columns", expected=most, got=f"{cells:,}")
    if faults:
        raise InvalidData(faults.found)
    return Table(columns)


def _read(name: str, stream: BinaryIO, size_bytes: int, limits: TableLimits, faults: Faults, scratch: Scratch) -> np.ndarray | None:
    """The array in a stream of so many bytes; None with the reason in `faults`."""
    found = _header(stream)
    if found is None:
        wanted = "a .npy array of version 1 or 2"
        faults.add(pointer(name), "not_npy", f"column {short(name)}: expected {wanted}, got something else", expected=wanted)
        return None
    shape, is_fortran, dtype, header_bytes = found
    if shape_fault(name, shape, dtype, limits, faults):
        return None
    expected, got = prod(shape) * dtype.itemsize, size_bytes - header_bytes
    if expected != got:
        wanted = f"{expected:,} bytes behind the header, as it says"
        faults.add(pointer(name), "wrong_size", f"column {short(name)}: expected {wanted}, got {got:,}", expected=wanted, got=f"{got:,}")
        return None
    array = scratch(shape[::-1] if is_fortran else shape, dtype)
    into, at = memoryview(cast(Any, array.reshape(-1).view(np.uint8))), 0
    while at < expected and (piece := stream.read(min(_READ_BYTES, expected - at))):
        into[at : at + len(piece)] = piece
        at += len(piece)
    if at < expected:
        raise InvalidData(
            Fault(pointer(name), "wrong_size", f"column {short(name)}: the array is cut off after {at:,} bytes; send it again")
        )
    return array.T if is_fortran else array


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any], int] | None:
    """(shape, whether it is in Fortran order, dtype, bytes of the header); None where it is none."""
    counted = _Counted(stream)
    try:
        read = _HEADERS.get(npy_format.read_magic(counted))
        if read is None:
            return None
        shape, is_fortran, dtype = read(counted)
    except Exception:  # a literal of Python's, written by anybody: it may fail in any way that Python's parser can
        return None
    return shape, is_fortran, dtype, counted.taken


class _Counted:
    """A stream that knows how many bytes were read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.taken = stream, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.taken += len(data)
        return data
