"""read_csv: a table from CSV text.

Most files are blocks of plain numbers with perhaps a column of labels; np.loadtxt parses such a block several times faster
than the csv module. Whatever it refuses is read again by the csv module, which decides what is right and finds what is wrong.
"""

from __future__ import annotations

import csv
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import BinaryIO

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, pointer, short
from nncore.table.cells import ColumnReader, take_numbers
from nncore.table.column import Column
from nncore.table.dialect import Dialect, cells_of, is_blank, sniff
from nncore.table.limits import TableLimits
from nncore.table.missing import NO_COLUMN
from nncore.table.names import name_faults
from nncore.table.numbers import EXACT_IN_FLOAT64
from nncore.table.sightings import Sighting, Sightings
from nncore.table.table import Table
from nncore.table.text import Block, read_blocks

_ROWS_AT_ONCE = 4096
_READ_ON_BYTES = 16 * 2**20
_READ_ON_ROWS = 100_000
"""How far to read on after the first fault, so that one answer can name the others too."""

_LAST_LINE = "\0the end of the file"


Gaps = dict[str, dict[str, int]]
"""By column: what was taken for a missing value, "" for an empty cell, and how often. Columns without any are left out."""


def read_csv(
    stream: BinaryIO,
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    may_miss: Container[str] = NO_COLUMN,
    texts: Container[str] | None = None,
) -> Table:
    """The table of a CSV file: as `read_csv_and_gaps`."""
    return read_csv_and_gaps(stream, limits=limits, may_miss=may_miss, texts=texts)[0]


def read_csv_and_gaps(
    stream: BinaryIO,
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    may_miss: Container[str] = NO_COLUMN,
    texts: Container[str] | None = None,
) -> tuple[Table, Gaps]:
    """The table of a CSV file, plain or packed with gzip, in UTF-8; and what was taken for missing values.

    The delimiter is one of , ; tab | and is found out, as is the header; without one (no text in the first row) columns are
    named column_0, column_1, ... Numbers become float32, or int64 or float64 where that would change them (see numbers.py); a
    column of text becomes a category, one of true and false alone 1 and 0. may_miss: columns that may miss values (see missing.py):
    numbers become NaN, texts the empty text. texts: the columns of text, where that is known before: then one of which every value is
    missing is not refused, but all NaN; in any that is none of text, words for missing values alone are missing numbers.
    Blank lines are skipped. Memory: the pieces and then the table, and about a block of text.
    Raises InvalidData with every fault found: rows are counted from 1 without the header, lines from 1.
    """
    blocks = read_blocks(stream, limits)
    first = next(blocks, None)
    try:
        dialect = sniff(first.lines, limits) if first else None
    except csv.Error:
        assert first is not None, "else nothing was looked at"
        number, line = next((number, line) for number, line in enumerate(first.lines, 1) if line.strip())
        raise _overlong(number, line) from None
    if first is None or dialect is None:
        raise InvalidData(Fault("", "empty", "expected a header and rows of data, got an empty file", "rows of data", "an empty file"))
    faults = Faults()
    faults.extend(name_faults(dialect.names, limits))
    if faults:
        raise InvalidData(faults.found)
    reader = _Reader(dialect, limits, may_miss, texts)
    header = dialect.header_lines
    begun = replace(first, lines=first.lines[header:], first_line=first.first_line + header)
    reader.read(chain([begun], blocks))
    table = reader.table()
    return table, {column.name: dict(column.gaps) for column in reader.columns if column.gaps}


class _Reader:
    """Takes blocks of lines; then gives the table."""

    def __init__(self, dialect: Dialect, limits: TableLimits, may_miss: Container[str], texts: Container[str] | None) -> None:
        self.dialect, self.limits = dialect, limits
        self.columns = [
            ColumnReader(
                name,
                limits,
                is_text=at in dialect.text_columns,
                is_known_number=texts is not None and name not in texts,
                seen=Sightings(may_miss=name in may_miss, may_be_empty=texts is not None),
            )
            for at, name in enumerate(dialect.names)
        ]
        self.rows = 0
        self.ragged: Sighting | None = None

    def read(self, blocks: Iterator[Block]) -> None:
        read_on_bytes = _READ_ON_BYTES
        for block in blocks:
            if block.quoted and any(line.count('"') % 2 for line in block.lines):
                # A quoted cell may go on in the next line, or in the next block: no more blocks.
                self._read_rows(chain.from_iterable(each.lines for each in chain([block], blocks)), block.first_line)
                return
            if not self._read_fast(block):
                self._read_rows(block.lines, block.first_line)
            if self._is_faulty:
                read_on_bytes -= sum(map(len, block.lines))
                if read_on_bytes < 0:
                    return

    def _read_fast(self, block: Block) -> bool:
        """Reads a block of good numbers and known texts; False, with nothing changed, where it is anything else."""
        lines: Sequence[int] = range(block.first_line, block.first_line + len(block.lines))
        texts = block.lines
        if "" in texts or any(map(str.isspace, texts)):
            lines = [line for line, text in zip(lines, texts, strict=True) if text and not text.isspace()]
            texts = [text for text in texts if text and not text.isspace()]
        if not texts:
            return True
        groups = [(is_text, list(columns)) for is_text, columns in groupby(self.columns, key=attrgetter("is_text"))]
        fields = [(str(at), object if is_text else np.float64, (len(columns),)) for at, (is_text, columns) in enumerate(groups)]
        try:
            parsed = np.loadtxt(texts, dtype=np.dtype(fields), delimiter=self.dialect.delimiter, comments=None, quotechar='"', ndmin=1)
        except ValueError:
            return False
        if len(parsed) != len(texts):
            return False
        rows = range(self.rows + 1, self.rows + 1 + len(parsed))
        numbers, stripped = [], []
        for at, (is_text, columns) in enumerate(groups):
            values = np.ascontiguousarray(parsed[str(at)].T)
            if is_text:
                stripped += [(column, [cell.strip() for cell in cells]) for column, cells in zip(columns, values.tolist(), strict=True)]
            elif (np.abs(values) < EXACT_IN_FLOAT64).all():
                numbers.append((columns, values))
            else:  # NaN, inf, or a number that may need an exact look
                return False
        if not all(column.holds_only_text(cells) for column, cells in stripped):
            return False

        first_row, first_line = rows[0], lines[0]
        for columns, values in numbers:
            for column in columns:
                column.see_numbers(first_row, first_line, "", len(rows))
            take_numbers(columns, values)
        for column, cells in stripped:
            column.take_texts(cells, first_row, first_line)
        self._count(len(rows))
        return True

    def _read_rows(self, lines: Iterable[str], first_line: int) -> None:
        """Reads lines with the csv module: the slow way, which is always right."""
        latest = ""

        def ended() -> Iterator[str]:
            nonlocal latest
            for latest in lines:
                yield latest + "\n"
            latest = _LAST_LINE
            yield latest

        reader = cells_of(ended(), self.dialect.delimiter)
        closed, read_on_rows = False, _READ_ON_ROWS
        while not closed:
            try:
                batch = [(first_line + reader.line_num - 1, row) for row in islice(reader, _ROWS_AT_ONCE)]
            except csv.Error:
                batch = []
            if not batch:
                raise _overlong(first_line + reader.line_num - 1, latest)
            closed = batch[-1][1] == [_LAST_LINE]
            self._take_rows([(line, row) for line, row in batch if not is_blank(row) and row != [_LAST_LINE]])
            if self._is_faulty:
                read_on_rows -= len(batch)
                closed = closed or read_on_rows < 0

    def _take_rows(self, batch: list[tuple[int, list[str]]]) -> None:
        width = len(self.columns)
        numbered = list(enumerate(batch, self.rows + 1))
        ragged = [(row, line, len(cells)) for row, (line, cells) in numbered if len(cells) != width]
        if ragged:
            row, line, got = ragged[0]
            self.ragged = self.ragged or Sighting(row, line, str(got))
            self.ragged.count += len(ragged)
        whole = [(row, line, cells) for row, (line, cells) in numbered if len(cells) == width]
        if whole:
            rows, lines, cells = zip(*whole, strict=True)
            for column, of_column in zip(self.columns, zip(*cells, strict=True), strict=True):
                column.take(of_column, rows, lines)
        self._count(len(batch))

    def _count(self, rows: int) -> None:
        self.rows += rows
        if self.rows > self.limits.max_rows:
            most = f"at most {self.limits.max_rows:,} rows"
            raise InvalidData(Fault("", "too_many_rows", f"expected {most}, got more", most))
        if self.rows * len(self.columns) > self.limits.max_cells:
            most = f"at most {self.limits.max_cells:,} cells"
            raise InvalidData(Fault("", "too_many_cells", f"expected {most}, got more; send fewer rows or columns", most))

    @property
    def _is_faulty(self) -> bool:
        return self.ragged is not None or any(column.is_faulty for column in self.columns)

    def table(self) -> Table:
        """The finished table. Raises InvalidData with all that was seen."""
        faults = Faults()
        if not self.rows:
            names = ", ".join(map(short, self.dialect.names[:5]))
            faults.add("", "no_rows", f"expected rows of data under the header ({names}), got none", expected="rows of data", got="none")
        if self.ragged:
            width = len(self.columns)
            more = f" (and {self.ragged.count - 1:,} more rows of another length)" if self.ragged.count > 1 else ""
            faults.add(
                pointer(self.ragged.row - 1),
                "ragged_row",
                f"{self.ragged.place}: expected {width} cells, got {self.ragged.cell}{more}; "
                f"the file is cut at {short(self.dialect.delimiter)}",
                expected=f"{width} cells",
                got=f"{self.ragged.cell} cells",
            )
        for column in self.columns:
            column.settle()
            column.report(faults)
        if faults:
            raise InvalidData(faults.found)
        return Table(self._joined())

    def _joined(self) -> Iterator[Column]:
        """The columns. All go forward together, for pieces that were read together are views of one block; so do those of one dtype."""
        dtypes = ["int64" if column.dtype == "category" else column.dtype for column in self.columns]
        arrays = {dtype: iter(np.empty((dtypes.count(dtype), self.rows), dtype)) for dtype in set(dtypes)}
        values = [next(arrays[dtype]) for dtype in dtypes]
        at = 0
        for pieces in zip(*(column.finished() for column in self.columns), strict=True):
            for into, piece in zip(values, pieces, strict=True):
                into[at : at + len(piece)] = piece
            at += len(pieces[0])
        for reader, array in zip(self.columns, values, strict=True):
            if reader.missing:
                array[reader.missing] = np.nan
        return (Column(reader.name, array, reader.categories()) for reader, array in zip(self.columns, values, strict=True))


def _overlong(line: int, text: str) -> InvalidData:
    """The refusal of a cell that goes on beyond what the csv module takes; `text` is the line where that was seen."""
    longest = csv.field_size_limit()
    if '"' not in text and len(text) > longest:
        most = f"at most {longest:,} characters in a cell"
        return InvalidData(
            Fault("", "long_cell", f"line {line}: expected {most}, got more; shorten it or leave its column out", most, "more")
        )
    message = f"line {line}: a cell in double quotes goes on for too long; is its closing quote missing?"
    return InvalidData(Fault("", "unclosed_quote", message, "a closing quote"))
