"""One column of a CSV file while it is being read: its values so far, and what is wrong with them.

A column of text becomes a category, one of true and false alone numbers, 1 and 0; what becomes of numbers says numbers.py. Which of them a
column is, and which dtype holds its numbers, is known only at its end. So each piece is kept in the smallest dtype that gives back its
numbers as they were written. As long as a column has held nothing but empty cells and words for them (missing.py), they are kept as texts.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from nncore.faults import Faults, pointer
from nncore.table.column import ColumnType
from nncore.table.dialect import NOT_FINITE, NUMBER
from nncore.table.limits import TableLimits
from nncore.table.missing import stands_for_nothing
from nncore.table.numbers import BEYOND_INT64, EXACT_IN_FLOAT32, EXACT_IN_FLOAT64, as_written, survives_float32
from nncore.table.sightings import Kind, Sightings

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]++,[0-9]++\Z")
_TRUTHS = {"true": 1.0, "false": 0.0}


@dataclass
class ColumnReader:
    """Takes the cells of one column, block by block.

    is_known_number: whether words for missing values alone are missing numbers, else they are text.
    missing: rows, counted from 0, where a number is. gaps: what was taken for a missing value, and how often.
    """

    name: str
    limits: TableLimits
    is_text: bool = False
    is_truth: bool = False
    is_known_number: bool = False
    pieces: deque[np.ndarray] = field(default_factory=deque)
    codes: dict[str, int] = field(default_factory=dict)
    seen: Sightings = field(default_factory=Sightings)
    missing: list[int] = field(default_factory=list)
    gaps: Counter[str] = field(default_factory=Counter)
    is_whole: bool = True
    fits_float32: bool = True
    largest: float = 0.0

    def take(self, cells: Sequence[str], rows: Sequence[int], lines: Sequence[int]) -> None:
        """Adds `cells`, whatever they hold. rows, lines: where each of them stands, counted from 1."""
        if not self.is_text and (numbers := _all_numbers(cells)) is not None:
            self.see_numbers(rows[0], lines[0], cells[0], len(cells))
            take_numbers([self], numbers[None])
            if self.is_whole and EXACT_IN_FLOAT64 <= np.abs(numbers).max() < BEYOND_INT64 and not self.is_faulty:
                self.pieces[-1] = np.array([_exactly(cell) for cell in cells], dtype=np.int64)
            return
        stripped = [cell.strip() for cell in cells]
        if self.seen.may_miss and not self.is_text and self._take_with_gaps(stripped, rows, lines):
            return
        kinds = [self._kind(cell) for cell in stripped]
        for kind in dict.fromkeys(kinds):
            at = kinds.index(kind)
            self.seen.add(kind, rows[at], lines[at], stripped[at], kinds.count(kind))
        if "text" in kinds and not self.is_text:
            self.is_text = True
            self.seen.take_words_for_text()
        if self.seen.first.keys() <= {"text", "word", "empty"}:
            self.gaps += Counter(cell for cell, kind in zip(stripped, kinds, strict=True) if kind in ("empty", "word"))
            self.take_codes(stripped)
        if self.is_faulty:
            self.pieces.clear()

    def _take_with_gaps(self, stripped: Sequence[str], rows: Sequence[int], lines: Sequence[int]) -> bool:
        """Adds numbers of which some are missing; False, with nothing changed, where the cells hold anything else.

        What is missing is 0 in the pieces, which fits any dtype, and NaN at the end.
        """
        gaps = [at for at, cell in enumerate(stripped) if not cell or stands_for_nothing(cell)]
        if not gaps or (len(gaps) == len(stripped) and "number" not in self.seen.first):
            return False
        lacking = frozenset(gaps)
        filled = ["0" if at in lacking else cell for at, cell in enumerate(stripped)]
        if _all_numbers(filled) is None:
            return False
        for at in gaps:
            self.seen.add("word" if stripped[at] else "empty", rows[at], lines[at], stripped[at], 1)
        if len(gaps) == len(stripped):
            self.keep(np.zeros(len(stripped), np.float32))
        else:
            self.take(filled, rows, lines)
            self.seen.first["number"].count -= len(gaps)
        self.gaps += Counter(stripped[at] for at in gaps)
        self.missing += [rows[at] - 1 for at in gaps]
        return True

    def see_numbers(self, row: int, line: int, cell: str, count: int) -> None:
        """Notes that so many numbers come, the first of them there: what stood before the first of all is missing numbers."""
        self.seen.add("number", row, line, cell, count)
        if self.codes and not self.is_text:
            self._miss_all()

    def _miss_all(self) -> None:
        """What was kept so far is missing numbers."""
        self.missing = list(range(sum(map(len, self.pieces))))
        self.pieces = deque(np.zeros(len(piece), np.float32) for piece in self.pieces)
        self.codes.clear()

    def take_texts(self, texts: Sequence[str], row: int, line: int) -> None:
        """Adds stripped texts that `holds_only_text` of, the first of them there."""
        if empty := texts.count(""):
            self.seen.add("empty", row, line, "", empty)
            self.gaps[""] += empty
        self.seen.add("text", row, line, texts[0], len(texts) - empty)
        self.take_codes(texts)

    def take_codes(self, texts: Sequence[str]) -> None:
        """Adds stripped texts that are known to be text, or what may turn out to be missing numbers."""
        codes = self.codes
        self.keep(np.array([codes.setdefault(text, len(codes)) for text in texts], dtype=np.int32))

    def holds_only_text(self, cells: Sequence[str]) -> bool:
        """True where every stripped cell is known to be text, or may be missing, and the csv module would read it so too."""
        longest = csv.field_size_limit()
        known = {"text", "empty"} if self.seen.may_miss else {"text"}
        new = set(cells) - self.codes.keys()
        return all(self._kind(cell) in known and '"' not in cell and len(cell) <= longest for cell in new)

    def settle(self) -> None:
        """To be called when all cells are taken: what held no number, nor NaN alone, is text; true and false alone are numbers, 1 and 0."""
        if "number" not in self.seen.first and not all(self.is_known_number or NOT_FINITE.match(text) for text in self.codes if text):
            self.is_text = True
            self.seen.take_words_for_text()
        elif self.seen.may_be_empty and self.seen.first.keys() <= {"empty", "word"}:
            self._miss_all()
        if not self.is_text or self.is_faulty:
            return
        self.gaps = Counter({"": self.gaps[""]} if self.gaps[""] else {})
        words = [text for text in self.codes if stands_for_nothing(text)]
        others = {text.lower() for text in self.codes if text and text not in words}
        self.is_truth = bool(others) and others <= _TRUTHS.keys()
        if not self.is_truth:
            return
        self.seen.first["number"] = self.seen.first.pop("text")
        at = 0
        for piece in self.pieces:
            for word in words:
                if rows := np.flatnonzero(piece == self.codes[word]).tolist():
                    self.gaps[word] += len(rows)
                    self.seen.add("word", at + rows[0] + 1, None, word, len(rows))
            at += len(piece)

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
        if not cell:
            return "empty"
        if self.is_text and cell in self.codes:
            return "text"
        if stands_for_nothing(cell):
            return "text" if self.is_text else "word"
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
        texts = [text for text in self.codes if text and not stands_for_nothing(text)]
        if "number" not in self.seen.first and texts and all(map(_DECIMAL_COMMA.match, texts)):
            self.seen.add_fault(self.name, "text", "decimal_comma", "a number with a decimal point", "write 1.5 instead of 1,5", faults)

    @property
    def dtype(self) -> ColumnType:
        """What the column has become."""
        if self.is_text:
            return "float32" if self.is_truth else "category"
        if self.is_whole and EXACT_IN_FLOAT32 < self.largest < BEYOND_INT64:
            return "float64" if self.missing else "int64"
        return "float32" if self.fits_float32 else "float64"

    def categories(self) -> tuple[str, ...] | None:
        """The texts of a category, sorted."""
        return tuple(sorted(self.codes)) if self.is_text and not self.is_truth else None

    def finished(self) -> Iterator[np.ndarray]:
        """The values, piece by piece, each let go when the next is asked for: those of `dtype`, maybe in a wider one."""
        meaning = np.arange(len(self.codes))
        if self.is_truth:
            meaning = np.array([_TRUTHS.get(text.lower(), np.nan) for text in self.codes], dtype=np.float32)
        elif self.is_text:
            meaning[[self.codes[text] for text in self.categories() or ()]] = np.arange(len(self.codes))
        while self.pieces:
            piece = self.pieces.popleft()
            if self.is_text:
                yield meaning[piece]
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
