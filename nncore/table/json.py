"""read_columns: a table from JSON columns.

Nothing below 2**63 is rounded: a column is float32 where that holds every value exactly, int64 for whole numbers beyond 2**24,
else float64.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, pointer, short
from nncore.table.arrays import refuse_empty
from nncore.table.column import Column
from nncore.table.encoded import read_encoded
from nncore.table.limits import TableLimits
from nncore.table.missing import NO_COLUMN
from nncore.table.names import name_faults
from nncore.table.table import Table

MAX_DEPTH = 8
"""How deep an item may be nested: a row of a column, and its lists within lists."""

_CELLS_AT_ONCE = 2**18

_KIND_OF_TYPE = {int: "number", float: "number", bool: "boolean", str: "text", list: "list", type(None): "null", dict: "object"}


def read_columns(
    columns: Mapping[str, Any],
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    may_miss: Container[str] = NO_COLUMN,
) -> Table:
    """The table of {"name": [row, row, ...], ...}.

    A row is a number, a boolean (0 or 1), a text (the column becomes a category), or a list of numbers nested as deep as
    MAX_DEPTH, in every row of the same shape. Numbers may also come packed: see encoded.py.
    may_miss: columns in which a null is kept, in numbers as NaN, among texts as the empty text. Raises InvalidData with every fault found;
    pointers begin at a column's name and count rows from 0, messages count rows from 1.
    """
    if not isinstance(columns, Mapping) or not columns:
        got = short(columns) if not isinstance(columns, Mapping) else "none"
        raise InvalidData(Fault("", "empty", f"expected columns, lists of rows by name, got {got}", "at least one column", got))
    faults = Faults()
    if not all(isinstance(name, str) for name in columns):
        raise InvalidData(Fault("", "bad_name", "expected texts as the names of columns", "texts"))
    faults.extend(name_faults(list(columns), limits))
    read = [_read_column(name, rows, limits, name in may_miss, faults) for name, rows in columns.items()] if not faults else []
    lengths = {name: len(rows) for name, rows in columns.items() if isinstance(rows, list)}
    lengths |= {column.name: len(column.values) for column in read if column is not None}
    if len(set(lengths.values())) > 1:
        usual = Counter(lengths.values()).most_common(1)[0][0]
        for name, length in lengths.items():
            if length and length != usual:
                wanted, got = f"{usual} rows, as in the other columns", f"{length}"
                faults.add(
                    pointer(name), "unequal_lengths", f"column {short(name)}: expected {wanted}, got {got}", expected=wanted, got=got
                )
    cells = sum(column.values.size for column in read if column is not None)
    if cells > limits.max_cells:
        most = f"at most {limits.max_cells:,} cells"
        faults.add("", "too_many_cells", f"expected {most}, got {cells:,}; send fewer rows or columns", expected=most, got=f"{cells:,}")
    if faults:
        raise InvalidData(faults.found)
    return Table(column for column in read if column is not None)


def _read_column(name: str, rows: Any, limits: TableLimits, may_miss: bool, faults: Faults) -> Column | None:
    """The column, or None with the reasons in `faults`."""
    called = f"column {short(name)}"
    if isinstance(rows, dict):
        return read_encoded(name, rows, limits, faults, may_miss=may_miss)
    if not isinstance(rows, list) or not rows:
        got = "an empty list" if rows == [] else short(rows)
        faults.add(pointer(name), "no_rows", f"{called}: expected a list of rows, got {got}", expected="a list of rows", got=got)
        return None
    if len(rows) > limits.max_rows:
        most = f"at most {limits.max_rows:,} rows"
        faults.add(pointer(name), "too_many_rows", f"{called}: expected {most}, got {len(rows):,}", expected=most, got=f"{len(rows):,}")
        return None

    if (plain := _plain_numbers(rows)) is not None:
        return Column(name, plain)
    cells: list[Any] = rows
    shape: tuple[int, ...] = (len(rows),)
    while _only_kind(cells) == "list":
        shape = _deeper(name, cells, shape, faults)
        if not shape:
            return None
        cells = list(chain.from_iterable(cells))
    gaps = [at for at, cell in enumerate(cells) if cell is None] if may_miss else []
    if gaps and len(gaps) < len(cells):
        given = next(cell for cell in cells if cell is not None)
        of = _KIND_OF_TYPE.get(type(given))
        if of in ("number", "boolean"):
            cells = [given if cell is None else cell for cell in cells]  # until they are numbers
        elif of == "text" and len(shape) == 1:
            cells = ["" if cell is None else cell for cell in cells]
    kind = _only_kind(cells)
    if kind == "text" and len(shape) == 1:
        return _category(name, cells, limits, faults, may_miss)
    if kind == "boolean":
        return _with_gaps(Column(name, np.array(cells, dtype=np.float32).reshape(shape)), gaps)
    if kind != "number":
        _refuse_kinds(name, cells, shape, faults)
        return None
    column = _numbers(name, cells, shape, faults)
    return column and _with_gaps(column, gaps)


def _with_gaps(column: Column, gaps: list[int]) -> Column:
    """The column with NaN at these of its numbers."""
    if not gaps:
        return column
    values = column.values.astype(np.float64) if column.values.dtype == np.int64 else column.values
    values.reshape(-1)[gaps] = np.nan
    return Column(column.name, values)


def _plain_numbers(rows: list[Any]) -> np.ndarray | None:
    """The rows as numbers, where all are finite numbers of one shape that need no int64; else None.

    A block of them at a time, so that what lies between lists and numbers stays small, and other threads may pass.
    """
    shape: list[int] = []
    first = rows[0]
    while isinstance(first, list):
        if not first or len(shape) == MAX_DEPTH:
            return None
        shape.append(len(first))
        first = first[0]
    at_once = max(1, _CELLS_AT_ONCE // prod(shape))
    pieces, is_whole, fits_float32, largest = [], True, True, 0.0
    for begin in range(0, len(rows), at_once):
        cells = rows[begin : begin + at_once]
        for length in shape:
            if set(map(type, cells)) != {list} or set(map(len, cells)) != {length}:
                return None
            cells = list(chain.from_iterable(cells))
        if not set(map(type, cells)) <= {int, float}:
            return None
        try:
            values = np.array(cells, dtype=np.float64)
        except OverflowError:
            return None
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        largest = max(largest, float(np.abs(values).max()))  # NaN stays NaN
        is_whole = is_whole and bool((np.rint(values) == values).all())
        fits_float32 = fits_float32 and bool((narrow == values).all())
        if not np.isfinite(values).all() or (is_whole and largest > 2**24):
            return None
        pieces.append(narrow if fits_float32 else values)
    dtype = np.float32 if fits_float32 else np.float64
    return np.concatenate(pieces, dtype=dtype).reshape(len(rows), *shape)


def _only_kind(cells: list[Any]) -> str | None:
    """What all cells are, None where they differ."""
    kinds = {_KIND_OF_TYPE.get(each, "object") for each in set(map(type, cells))}
    return kinds.pop() if len(kinds) == 1 else None


def _deeper(name: str, lists: list[list[Any]], shape: tuple[int, ...], faults: Faults) -> tuple[int, ...]:
    """`shape` and the one length of all `lists`; () with the reason in `faults` where there is none."""
    lengths = Counter(map(len, lists))
    usual = lengths.most_common(1)[0][0]
    if len(shape) > MAX_DEPTH:
        most = f"at most {MAX_DEPTH} lists within each other"
        faults.add(pointer(name), "too_deep", f"column {short(name)}: expected {most}, got more", expected=most)
        return ()
    if len(lengths) > 1 or usual == 0:
        at = next(at for at, each in enumerate(lists) if len(each) != usual or usual == 0)
        wanted = f"{usual} items, as in the other rows" if usual else "at least one item"
        got = str(len(lists[at]))
        where = _indices(at, shape)
        faults.add(pointer(name, *where), "ragged_row", f"{_place(name, where)}: expected {wanted}, got {got}", expected=wanted, got=got)
        return ()
    return (*shape, usual)


def _refuse_kinds(name: str, cells: list[Any], shape: tuple[int, ...], faults: Faults) -> None:
    """Names the first cell of each kind that should not be there."""
    kinds = [_KIND_OF_TYPE.get(type(cell), "object") for cell in cells]
    counts = Counter(kinds)
    allowed = {"number": "a number", "boolean": "a boolean"} | ({"text": "text"} if len(shape) == 1 else {})
    if len(shape) <= MAX_DEPTH:
        allowed["list"] = "a list"
    usual = max((kind for kind in counts if kind in allowed), key=counts.__getitem__, default="number")
    for kind in counts:
        if kind == usual:
            continue
        at = kinds.index(kind)
        where = _indices(at, shape)
        got = {"null": "null", "object": "an object"}.get(kind) or (
            f"the number {short(cells[at])}" if kind == "number" else short(cells[at])
        )
        wanted = allowed.get(usual, "a number") + (", as in the rest of the column" if usual in counts else "")
        more = f" (and {counts[kind] - 1:,} more in this column)" if counts[kind] > 1 else ""
        remedy = "; fill it in or leave the row out" if kind == "null" else ""
        faults.add(
            pointer(name, *where),
            "empty_cell" if kind == "null" else "mixed_column" if usual in counts else "not_a_number",
            f"{_place(name, where)}: expected {wanted}, got {got}{more}{remedy}",
            expected=wanted,
            got=got,
        )


def _category(name: str, texts: list[str], limits: TableLimits, faults: Faults, may_miss: bool) -> Column | None:
    if may_miss:
        texts = [text if text.strip() else "" for text in texts]
        if not any(texts):
            refuse_empty(name, faults)
            return None
    categories = sorted(set(texts))
    if len(categories) > limits.max_categories:
        most = f"at most {limits.max_categories:,} different texts"
        faults.add(pointer(name), "too_many_categories", f"column {short(name)}: expected {most}, got {len(categories):,}", expected=most)
        return None
    for text in categories:
        if (not text.strip() and not may_miss) or "\0" in text or not _is_unicode(text):
            at = texts.index(text)
            code, got = ("empty_cell", "an empty text") if not text.strip() else ("unreadable_text", ascii(text[:30]))
            wanted = "text of Unicode characters other than NUL" if text.strip() else "text"
            remedy = "" if text.strip() else "; fill it in or leave the row out"
            faults.add(pointer(name, at), code, f"{_place(name, [at])}: expected {wanted}, got {got}{remedy}", expected=wanted, got=got)
            return None
    position = {text: at for at, text in enumerate(categories)}
    return Column(name, np.array([position[text] for text in texts], dtype=np.int64), tuple(categories))


def _is_unicode(text: str) -> bool:
    """False where half of a surrogate pair stands alone: JSON can say that, UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _numbers(name: str, cells: list[Any], shape: tuple[int, ...], faults: Faults) -> Column | None:
    try:
        values = np.array(cells, dtype=np.float64)
        finite = np.isfinite(values)
    except OverflowError:  # a whole number beyond 1.8e308
        values, finite = None, np.array([isinstance(cell, float) or abs(cell) < 2**1023 for cell in cells])
    if values is None or not finite.all():
        at = int(np.argmin(finite))
        where = _indices(at, shape)
        wanted, got = "a finite number, below 1.8e308", short(cells[at])
        faults.add(pointer(name, *where), "not_finite", f"{_place(name, where)}: expected {wanted}, got {got}", expected=wanted, got=got)
        return None
    if np.abs(values).max() > 2**24 and (np.rint(values) == values).all() and np.abs(values).max() < 2**63:
        return Column(name, np.array([int(cell) for cell in cells], dtype=np.int64).reshape(shape))
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return Column(name, (narrow if (narrow == values).all() else values).reshape(shape))


def _indices(at: int, shape: tuple[int, ...]) -> list[int]:
    """The row, and the position in each list within it, of cell `at`."""
    return [int(index) for index in np.unravel_index(at, shape)]


def _place(name: str, where: list[int]) -> str:
    """'row 4, column "x", item [1]', as a message begins."""
    item = f", item [{', '.join(map(str, where[1:]))}]" if len(where) > 1 else ""
    return f"row {where[0] + 1}, column {short(name)}{item}"
