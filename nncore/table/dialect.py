"""How a CSV file is written: its delimiter, and whether its first row names the columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from nncore.errors import InvalidData
from nncore.table.limits import TableLimits
from nncore.table.missing import stands_for_nothing
from nncore.table.names import too_many_columns

DELIMITERS = ("\t", ";", "|", ",")
"""The comma last: it also stands inside numbers and sentences, where another character may be the delimiter."""
_LOOKED_AT_LINES = 20

# Possessive, so that a cell of a hundred thousand digits is looked at once.
NUMBER = re.compile(r"[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?+\Z")
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """names: from the header, or column_0, column_1, ... where no text stands in the first row.

    header_lines: how many lines of the file the header takes (0 without one).
    text_columns: positions that hold text somewhere in the first rows: a guess that makes reading fast, nothing more.
    """

    delimiter: str
    names: tuple[str, ...]
    has_header: bool
    header_lines: int
    text_columns: frozenset[int]


def sniff(lines: Sequence[str], limits: TableLimits) -> Dialect | None:
    """The dialect of a file that begins with `lines`; None where they are all blank.

    Raises InvalidData where there are too many columns, and csv.Error where a quote in the first row is not closed.
    """
    begun = [line for line in lines[: 4 * _LOOKED_AT_LINES] if line and not line.isspace()][:_LOOKED_AT_LINES]
    delimiter = _delimiter(begun)
    reader = cells_of(iter(line + "\n" for line in lines), delimiter)
    first: list[str] = []
    for first in reader:
        if not is_blank(first):
            break
    else:
        return None
    if too_many := too_many_columns(len(first), limits):
        raise InvalidData(too_many)
    header_lines = reader.line_num
    has_header = any(is_text(cell) for cell in first)
    if has_header:
        names = tuple(" ".join(cell.split()) for cell in first)
    else:
        names = tuple(f"column_{index}" for index in range(len(first)))
        header_lines = 0
    text_columns: set[int] = set()
    with suppress(csv.Error):  # told by whoever reads that row
        for row in islice(reader, _LOOKED_AT_LINES):
            text_columns.update(index for index, cell in enumerate(row) if is_text(cell))
    return Dialect(delimiter, names, has_header, header_lines, frozenset(text_columns))


def is_text(cell: str) -> bool:
    """True for a cell that is neither a number nor a missing value."""
    stripped = cell.strip()
    return bool(stripped) and not NUMBER.match(stripped) and not NOT_FINITE.match(stripped) and not stands_for_nothing(stripped)


def cells_of(lines, delimiter: str):  # type: ignore[no-untyped-def]  # csv's reader type has no public name
    """The csv module's reader, set as this package reads everywhere."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def is_blank(row: Sequence[str]) -> bool:
    """True for a line of nothing, or of white space; it is no row."""
    return not row or (len(row) == 1 and not row[0].strip())


def _delimiter(lines: Sequence[str]) -> str:
    """The one that cuts the most lines into as many cells as the first line, if it cuts that."""
    best, best_score = ",", 0
    for delimiter in DELIMITERS:
        counts = [_unquoted(line).count(delimiter) for line in lines]
        score = counts.count(counts[0]) if counts and counts[0] else 0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _unquoted(line: str) -> str:
    """The line without what stands between double quotes."""
    return "".join(line.split('"')[::2]) if '"' in line else line
