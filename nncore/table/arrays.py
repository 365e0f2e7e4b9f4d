"""column_of: a column from an array of NumPy's, whatever its dtype and wherever it lies.

Numbers become float32 where that holds every one exactly, int64 where they are whole beyond 2**24, else float64: as those of JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nncore.faults import Faults, pointer, short
from nncore.table.column import Column
from nncore.table.limits import TableLimits
from nncore.table.numbers import BEYOND_INT64, EXACT_IN_FLOAT32

Scratch = Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]
"""Gives an array to be filled: `np.empty`, or one that lies on the disk."""

MAX_DEPTH = 8
_CELLS_AT_ONCE = 2**16
_ALWAYS_FLOAT32 = frozenset({"bool", "int8", "uint8", "int16", "uint16", "float16", "float32"})
_NUMBERS = _ALWAYS_FLOAT32 | {"int32", "uint32", "int64", "uint64", "float64"}


def shape_fault(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], limits: TableLimits, faults: Faults) -> bool:
    """Whether an array of this shape and dtype can be no column; the reason is in `faults`. Nothing is allocated."""
    called, cells = f"column {short(name)}", 1
    for length in shape:
        cells *= length
    is_text = dtype.kind in "US" and dtype.itemsize > 0
    if dtype.name not in _NUMBERS and not is_text:
        wanted = "numbers, booleans or texts of a fixed width"
        got = "pickled objects, which are never read" if dtype.hasobject else f"{dtype}"[:60]
        faults.add(pointer(name), "unsupported_dtype", f"{called}: expected {wanted}, got {got}", expected=wanted, got=got)
    elif not shape or min(shape) < 1 or len(shape) > 1 + MAX_DEPTH or (is_text and len(shape) > 1):
        wanted = "rows, each one text" if is_text else f"rows of items, at least one of each, nested at most {MAX_DEPTH} deep"
        message = f"{called}: expected {wanted}, got an array of shape {_told(shape)}"
        faults.add(pointer(name), "wrong_shape", message, expected=wanted, got=f"shape {_told(shape)}")
    elif shape[0] > limits.max_rows:
        most = f"at most {limits.max_rows:,} rows"
        faults.add(pointer(name), "too_many_rows", f"{called}: expected {most}, got {short(shape[0])}", expected=most)
    elif cells > limits.max_cells:
        most = f"at most {limits.max_cells:,} cells"
        faults.add(pointer(name), "too_many_cells", f"{called}: expected {most}, got {short(cells)}", expected=most)
    elif cells * dtype.itemsize > limits.max_bytes:
        most = f"at most {limits.max_bytes:,} bytes"
        faults.add(pointer(name), "too_large", f"{called}: expected {most}, got {short(cells * dtype.itemsize)}", expected=most)
    else:
        return False
    return True


def column_of(
    name: str,
    array: np.ndarray,
    limits: TableLimits,
    faults: Faults,
    *,
    scratch: Scratch = np.empty,
    may_miss: bool = False,
) -> Column | None:
    """The column, or None with the reason in `faults`. It may share the memory of `array`.

    array: (rows, *item_shape), also one that is mapped from a file: it is read in pieces. may_miss: whether NaN may stand for a number,
    and an empty text for a text.
    """
    if shape_fault(name, array.shape, array.dtype, limits, faults):
        return None
    if array.dtype.kind in "US":
        return _category(name, array, limits, faults, may_miss)
    if not _is_finite(name, array, may_miss, faults):
        return None
    target = np.dtype(_target(array))
    if array.dtype == target and array.dtype.isnative and array.flags.c_contiguous:
        return Column(name, array)
    values = scratch(array.shape, target)
    with np.errstate(over="ignore", invalid="ignore"):
        for at, block in _blocks(array):
            values[at : at + len(block)] = block
    return Column(name, values)


def _is_finite(name: str, array: np.ndarray, may_miss: bool, faults: Faults) -> bool:
    if array.dtype.kind != "f":
        return True
    given = 0
    for at, block in _blocks(array):
        wrong = np.isinf(block) if may_miss else ~np.isfinite(block)
        if wrong.any():
            where = [int(index) for index in np.argwhere(wrong)[0]]
            item = f", item {where[1:]}" if len(where) > 1 else ""
            got = str(float(block[tuple(where)]))
            remedy = "; fill it in or leave the row out" if got == "nan" else ""
            message = f"row {at + where[0] + 1}, column {short(name)}{item}: expected a finite number, got {got}{remedy}"
            faults.add(pointer(name, at + where[0], *where[1:]), "not_finite", message, expected="a finite number", got=got)
            return False
        given += int((~np.isnan(block)).sum()) if may_miss else 1
    if not given:
        refuse_empty(name, faults)
    return bool(given)


def refuse_empty(name: str, faults: Faults) -> None:
    """Adds the fault of a column of which every value is missing."""
    message = f"column {short(name)}: every value is missing; leave the column out"
    faults.add(pointer(name), "empty_column", message, expected="a value in some row", got="none")


def _target(array: np.ndarray) -> str:
    """The dtype that holds the numbers as they are."""
    if array.dtype.name in _ALWAYS_FLOAT32:
        return "float32"
    largest, whole, exact, gaps = 0.0, True, True, False
    for _, block in _blocks(array):
        numbers = block[block == block] if block.dtype.kind == "f" else block
        gaps = gaps or numbers.size < block.size
        if not numbers.size:
            continue
        largest = max(largest, float(numbers.max()), -float(numbers.min()))
        with np.errstate(over="ignore"):
            exact = exact and bool((numbers.astype(np.float32) == numbers).all()) and largest < 3.5e38
        whole = whole and (numbers.dtype.kind != "f" or bool((np.rint(numbers) == numbers).all()))
    if whole and EXACT_IN_FLOAT32 < largest < BEYOND_INT64 and not gaps:
        return "int64"
    return "float32" if exact else "float64"


def _category(name: str, array: np.ndarray, limits: TableLimits, faults: Faults, may_miss: bool) -> Column | None:
    codes: dict[str, int] = {}
    values = np.empty(len(array), np.int64)
    for at, block in _blocks(array):
        try:
            texts = [text.decode() if isinstance(text, bytes) else text for text in block.tolist()]
            "".join(texts).encode()
        except UnicodeError:
            faults.add(pointer(name), "unreadable_text", f"column {short(name)}: expected texts in UTF-8, got other bytes")
            return None
        if may_miss:
            texts = [text if text.strip() else "" for text in texts]
        for place, text in enumerate(texts):
            if (not text.strip() and not may_miss) or "\0" in text:
                row, got = at + place, "an empty text" if not text.strip() else ascii(text[:30])
                message = f"row {row + 1}, column {short(name)}: expected text, got {got}; fill it in or leave the row out"
                faults.add(pointer(name, row), "empty_cell", message, expected="text", got=got)
                return None
        values[at : at + len(block)] = [codes.setdefault(text, len(codes)) for text in texts]
        if len(codes) > limits.max_categories:
            most = f"at most {limits.max_categories:,} different texts"
            message = f"column {short(name)}: expected {most}, got more; leave the column out if it only names the rows"
            faults.add(pointer(name), "too_many_categories", message, expected=most)
            return None
    if not any(codes):
        refuse_empty(name, faults)
        return None
    categories = sorted(codes)
    position = np.empty(len(codes), np.int64)
    position[[codes[text] for text in categories]] = np.arange(len(codes))
    return Column(name, position[values], tuple(categories))


def _blocks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first row, some rows): what is made of them on the way takes little memory."""
    rows = max(1, _CELLS_AT_ONCE // max(1, array[:1].size))
    return ((at, array[at : at + rows]) for at in range(0, len(array), rows))


def _told(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(short, shape[:12]))}{', ...' if len(shape) > 12 else ''})"
