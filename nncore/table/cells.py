"""One column of a CSV file while it is being read: its values so far, and what is wrong with them.

A column of text becomes a category; what becomes of numbers says numbers.py. Which of them a column is, and which dtype holds its
numbers, is known only at its end. So each piece is kept in the smallest dtype that gives back its numbers as they were written.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from nncore.faults import Faults, pointer
from nncore.table.column import ColumnType
from nncore.table.dialect import NOT_FINITE, NUMBER
from nncore.table.limits import TableLimits
from nncore.table.numbers import BEYOND_INT64, EXACT_IN_FLOAT32, EXACT_IN_FLOAT64, as_written, survives_float32
from nncore.table.sightings import Kind, Sightings

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]++,[0-9]++\Z")


@dataclass
class ColumnReader:
    """Takes the cells of one column, block by block."""

    name: str
    limits: TableLimits
    is_text: bool = False
    pieces: deque[np.ndarray] = field(default_factory=deque)
    codes: dict[str, int] = field(default_factory=dict)
    seen: Sightings = field(default_factory=Sightings)
    missing: list[int] = field(default_factory=list)
    is_whole: bool = True
    fits_float32: bool = True
    largest: float = 0.0

    def take(self, cells: Sequence[str], rows: Sequence[int], lines: Sequence[int]) -> None:
        """Adds `cells`, whatever they hold. rows, lines: where each of them stands, counted from 1."""
        if not self.is_text and (numbers := _all_numbers(cells)) is not None:
            self.seen.add("number", rows[0], lines[0], cells[0], len(cells))
            take_numbers([self], numbers[None])
            if self.is_whole and EXACT_IN_FLOAT64 <= np.abs(numbers).max() < BEYOND_INT64 and not self.is_faulty:
                self.pieces[-1] = np.array([_exactly(cell) for cell in cells], dtype=np.int64)
            return
        if self.seen.may_miss and not self.is_text and self._take_with_gaps(cells, rows, lines):
            return
        kinds = [self._kind(cell.strip()) for cell in cells]
        for kind in dict.fromkeys(kinds):
            at = kinds.index(kind)
            self.seen.add(kind, rows[at], lines[at], cells[at].strip(), kinds.count(kind))
        if set(kinds) == {"text"}:
            self.is_text = True
            self.take_codes([cell.strip() for cell in cells])
        if self.is_faulty:
            self.pieces.clear()

    def _take_with_gaps(self, cells: Sequence[str], rows: Sequence[int], lines: Sequence[int]) -> bool:
        """Adds numbers of which some are missing; False, with nothing changed, where the cells hold anything else.

        What is missing is 0 in the pieces, which fits any dtype, and NaN at the end.
        """
        gaps = [at for at, cell in enumerate(cells) if not cell.strip()]
        given = [at for at, cell in enumerate(cells) if cell.strip()]
        if not gaps or _all_numbers([cells[at] for at in given]) is None:
            return False
        self.seen.add("empty", rows[gaps[0]], lines[gaps[0]], "", len(gaps))
        self.missing += [rows[at] - 1 for at in gaps]
        filled = [cell if cell.strip() else "0" for cell in cells]
        if given:
            self.take(filled, rows, lines)
            self.seen.first["number"].count -= len(gaps)
        else:
            self.keep(np.zeros(len(cells), np.float32))
        return True

    def take_codes(self, texts: Sequence[str]) -> None:
        """Adds stripped texts that are known to be text."""
        codes = self.codes
        self.keep(np.array([codes.setdefault(text, len(codes)) for text in texts], dtype=np.int32))

    def holds_only_text(self, cells: Sequence[str]) -> bool:
        """True where every stripped cell is known to be text, and the csv module would read it so too."""
        longest = csv.field_size_limit()
        new = set(cells) - self.codes.keys()
        return all(self._kind(cell) == "text" and '"' not in cell and len(cell) <= longest for cell in new)

    def keep(self, piece: np.ndarray) -> None:
        if not self.is_faulty:
            self.pieces.append(piece)

    @property
    def is_faulty(self) -> bool:
        return self.seen.are_faulty or self._has_too_many_texts

    @property
    def _has_too_many_texts(self) -> bool:
        return len(self.codes) > self.limits.max_categories

    def _kind(self, cell: str) -> Kind:
        if cell in self.codes:
            return "text"
        if not cell:
            return "empty"
        if NUMBER.match(cell):
            return "number" if np.isfinite(float(cell)) else "too large"
        if NOT_FINITE.match(cell):
            return "not finite"
        return "unreadable" if "\0" in cell else "text"

    def report(self, faults: Faults) -> None:
        """Adds what is wrong with the whole column."""
        self.seen.report(self.name, faults)
        if self._has_too_many_texts:
            most = f"at most {self.limits.max_categories:,} different texts"
            message = f'column "{self.name}": expected {most}, got more; leave the column out if it only names the rows'
            faults.add(pointer(self.name), "too_many_categories", message, expected=most)
        elif "number" not in self.seen.first and self.codes and all(map(_DECIMAL_COMMA.match, self.codes)):
            self.seen.add_fault(self.name, "text", "decimal_comma", "a number with a decimal point", "write 1.5 instead of 1,5", faults)

    @property
    def dtype(self) -> ColumnType:
        """What the column has become."""
        if self.is_text:
            return "category"
        if self.is_whole and EXACT_IN_FLOAT32 < self.largest < BEYOND_INT64:
            return "float64" if self.missing else "int64"
        return "float32" if self.fits_float32 else "float64"

    def categories(self) -> tuple[str, ...] | None:
        """The texts of a category, sorted."""
        return tuple(sorted(self.codes)) if self.is_text else None

    def finished(self) -> Iterator[np.ndarray]:
        """The values, piece by piece, each let go when the next is asked for: those of `dtype`, maybe in a wider one."""
        position = np.empty(len(self.codes), dtype=np.int64)
        position[[self.codes[text] for text in self.categories() or ()]] = np.arange(len(self.codes))
        while self.pieces:
            piece = self.pieces.popleft()
            if self.is_text:
                yield position[piece]
            elif self.dtype == "float64" and piece.dtype == np.float32:
                yield as_written(piece)
            else:
                # Whole numbers beyond 2**53 go through float64, as a fraction of that size would.
                yield piece.astype(np.float64) if self.dtype == "float32" and piece.dtype == np.int64 else piece


def take_numbers(columns: Sequence[ColumnReader], values: np.ndarray) -> None:
    """Adds a row of finite float64 `values` to each of the columns."""
    largest = np.abs(values).max(axis=1)
    is_whole = (np.rint(values) == values).all(axis=1)
    fits = is_whole & (largest <= EXACT_IN_FLOAT32)
    unsure = [at for at, column in enumerate(columns) if column.fits_float32 and not fits[at]]
    if unsure:
        fits[unsure] = survives_float32(values[unsure])
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    for at, column in enumerate(columns):
        column.is_whole = column.is_whole and bool(is_whole[at])
        column.fits_float32 = column.fits_float32 and bool(fits[at])
        column.largest = max(column.largest, float(largest[at]))
        if column.is_whole and EXACT_IN_FLOAT32 < largest[at] < BEYOND_INT64:
            column.keep(values[at].astype(np.int64))
        else:
            column.keep(narrow[at] if column.fits_float32 else values[at].copy())


def _all_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """The cells as float64 if every one is a finite number, else None."""
    joined = "".join(cells)
    if "_" in joined or not joined.isascii():
        return None  # float() would read 1_000 and digits of other scripts, which NUMBER does not
    try:
        numbers = np.array(list(map(float, cells)), dtype=np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _exactly(cell: str) -> int:
    """The whole number of a cell, also where float64 would round it."""
    try:
        return int(cell)
    except ValueError:  # 1e17, or 17.0
        return int(float(cell))
