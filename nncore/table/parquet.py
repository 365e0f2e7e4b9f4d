"""read_parquet: a table from a Parquet file, batch by batch, with pyarrow (of the extra `parquet`)."""

from __future__ import annotations

from collections.abc import Container
from math import prod
from typing import Any, BinaryIO

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, pointer, short
from nncore.table.arrays import Scratch, column_of, refuse_empty, shape_fault
from nncore.table.column import Column
from nncore.table.limits import TableLimits
from nncore.table.names import name_faults
from nncore.table.npy import table_of
from nncore.table.table import Table

_ROWS_AT_ONCE = 16_384


def read_parquet(
    stream: BinaryIO,
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    scratch: Scratch = np.empty,
    may_miss: Container[str] = frozenset(),
) -> Table:
    """The table of a Parquet file. Numbers and booleans become numbers, texts categories, lists of one length items with a shape.

    Raises InvalidData with every fault found; also where pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        message = "Parquet is read by pyarrow, which is not installed here; install the extra: pip install 'sankofa[parquet]', or send CSV"
        raise InvalidData(Fault("", "needs_extra", message, "the extra parquet")) from None
    try:
        file = parquet.ParquetFile(stream, page_checksum_verification=False)
        schema = file.schema_arrow
        _check(file.metadata, schema.names, limits)
        texts = [field.name for field in schema if _is_text(arrow, field.type)]
        file = parquet.ParquetFile(stream, read_dictionary=texts)  # a text that stands in every row is held once
        faults = Faults()
        columns = [_read(arrow, file, name, limits, faults, scratch, name in may_miss) for name in schema.names]
    except (arrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        reason = short(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise InvalidData(Fault("", "broken_parquet", f"expected a whole Parquet file, got one that cannot be read: {reason}")) from None
    return table_of([column for column in columns if column is not None], limits, faults)


def _check(metadata: Any, names: list[str], limits: TableLimits) -> None:
    """Raises InvalidData where the file says of itself that it is too large."""
    faults = Faults()
    faults.extend(name_faults(names, limits))
    if metadata.num_rows < 1:
        faults.add("", "no_rows", "expected rows of data, got none", expected="rows of data", got="none")
    cells = unpacked_bytes = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            cells += max(0, column.num_values)
            unpacked_bytes += max(0, column.total_uncompressed_size)
    for code, unit, got, most in (
        ("too_many_rows", "rows", metadata.num_rows, limits.max_rows),
        ("too_many_cells", "cells", cells, limits.max_cells),
        ("too_large", "bytes", unpacked_bytes, limits.max_bytes),
    ):
        if got > most:
            faults.add("", code, f"expected at most {most:,} {unit}, got {got:,}", expected=f"at most {most:,} {unit}", got=f"{got:,}")
    if faults:
        raise InvalidData(faults.found)


def _read(arrow: Any, file: Any, name: str, limits: TableLimits, faults: Faults, scratch: Scratch, may_miss: bool) -> Column | None:
    """The column, or None with the reason in `faults`."""
    kind = file.schema_arrow.field(name).type
    rows = file.metadata.num_rows
    if _is_text(arrow, kind):
        return _category(arrow, file, name, limits, faults, may_miss)
    target: np.ndarray | None = None
    at = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[name], use_threads=False):
        values = batch.column(0)
        shape: tuple[int, ...] = (len(values),)
        while arrow.types.is_list(values.type) or arrow.types.is_large_list(values.type) or arrow.types.is_fixed_size_list(values.type):
            lengths = values.value_lengths().to_numpy(zero_copy_only=False) if not arrow.types.is_fixed_size_list(values.type) else None
            usual = values.type.list_size if lengths is None else int(lengths[0]) if lengths.size and lengths[0] == lengths[0] else 0
            if values.null_count or usual < 1 or (lengths is not None and (lengths != usual).any()):
                _ragged(name, faults)
                return None
            shape, values = (*shape, usual), values.flatten()
        if arrow.types.is_decimal(values.type):
            values = values.cast(arrow.float64())
        is_number = arrow.types.is_integer(values.type) or arrow.types.is_floating(values.type) or arrow.types.is_boolean(values.type)
        if not is_number:
            wanted = "numbers, booleans, texts, or lists of numbers"
            got = short(str(kind))
            faults.add(pointer(name), "unsupported_dtype", f"column {short(name)}: expected {wanted}, got {got}", expected=wanted, got=got)
            return None
        if values.null_count and not may_miss:
            _missing(name, at + int(np.argmax(values.is_null().to_numpy(zero_copy_only=False))) // prod(shape[1:]), faults)
            return None
        numbers = values.to_numpy(zero_copy_only=False)
        dtype = np.dtype(np.float64) if numbers.dtype.kind in "Of" and values.null_count else numbers.dtype
        if target is None:
            if arrow.types.is_integer(values.type) and may_miss:
                dtype = np.dtype(np.float64)  # a later batch may miss some
            if shape_fault(name, (rows, *shape[1:]), dtype, limits, faults):
                return None
            target = scratch((rows, *shape[1:]), dtype)
        if shape[1:] != target.shape[1:]:
            _ragged(name, faults)
            return None
        target[at : at + shape[0]] = numbers.astype(target.dtype).reshape(shape)
        at += shape[0]
    if target is None or at != rows:
        raise InvalidData(Fault(pointer(name), "broken_parquet", f"column {short(name)}: expected {rows:,} rows, got {at:,}"))
    return column_of(name, target, limits, faults, scratch=scratch, may_miss=may_miss)


def _category(arrow: Any, file: Any, name: str, limits: TableLimits, faults: Faults, may_miss: bool) -> Column | None:
    codes: dict[str, int] = {}
    pieces = []
    at = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[name], use_threads=False):
        values = batch.column(0)
        if not arrow.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        if values.null_count and not may_miss:
            _missing(name, at + int(np.argmax(values.is_null().to_numpy(zero_copy_only=False))), faults)
            return None
        texts = [*values.dictionary.to_pylist(), ""]
        if may_miss:
            texts = [text if isinstance(text, str) and text.strip() else "" for text in texts]
        used = values.indices.cast(arrow.int64()).fill_null(len(texts) - 1).to_numpy()
        for place in np.unique(used):
            if not isinstance(texts[place], str) or (not texts[place].strip() and not may_miss) or "\0" in texts[place]:
                _missing(name, at + int(np.argmax(used == place)), faults)
                return None
            codes.setdefault(texts[place], len(codes))
        if len(codes) > limits.max_categories:
            most = f"at most {limits.max_categories:,} different texts"
            faults.add(pointer(name), "too_many_categories", f"column {short(name)}: expected {most}, got more", expected=most)
            return None
        pieces.append(np.array([codes.get(text, 0) for text in texts], np.int64)[used])
        at += len(used)
    if not any(codes):
        refuse_empty(name, faults)
        return None
    categories = sorted(codes)
    position = np.empty(len(codes), np.int64)
    position[[codes[text] for text in categories]] = np.arange(len(codes))
    return Column(name, position[np.concatenate(pieces)], tuple(categories))


def _is_text(arrow: Any, kind: Any) -> bool:
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind))


def _missing(name: str, row: int, faults: Faults) -> None:
    message = f"row {row + 1}, column {short(name)}: expected a value, got none; fill it in or leave the row out"
    faults.add(pointer(name, row), "empty_cell", message, expected="a value", got="none")


def _ragged(name: str, faults: Faults) -> None:
    wanted = "lists of one length in every row, none missing"
    faults.add(pointer(name), "ragged_row", f"column {short(name)}: expected {wanted}, got others", expected=wanted)
