"""Which kinds of cells a column of a CSV file has held so far, and what is wrong with them.

Whether a column is one of numbers or of text is known only at its end, so kinds are counted while it is read and worded then, one
fault for each: a file with a million empty cells is one fault, at the first of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nncore.faults import Faults, pointer, short

Kind = Literal["number", "text", "empty", "not finite", "too large", "unreadable"]

_FILL_IN = "fill it in or leave the row out"


@dataclass
class Sighting:
    """The first cell of a kind, and how many there are. row, line: counted from 1."""

    row: int
    line: int
    cell: str
    count: int = 0

    @property
    def place(self) -> str:
        return f"row {self.row} (line {self.line})"


@dataclass
class Sightings:
    """The kinds of one column. may_miss: whether numbers may be missing."""

    first: dict[Kind, Sighting] = field(default_factory=dict)
    may_miss: bool = False

    def add(self, kind: Kind, row: int, line: int, cell: str, count: int) -> None:
        """`count` more of a kind, the first of them there."""
        self.first.setdefault(kind, Sighting(row, line, cell)).count += count

    @property
    def are_faulty(self) -> bool:
        """True for anything but numbers alone, or text alone."""
        kinds = self.first.keys() - ({"empty"} if self._may_be_empty else set())
        return len(kinds) > 1 or not kinds <= {"number", "text"}

    @property
    def _may_be_empty(self) -> bool:
        return self.may_miss and "text" not in self.first

    def report(self, name: str, faults: Faults) -> None:
        """Adds what is wrong with the cells of the column `name`."""
        text, number = self.first.get("text"), self.first.get("number")
        if text and number:
            odd: Kind = "text" if text.count <= number.count else "number"
            expected = f"{'a number' if odd == 'text' else 'text'}, as in the rest of the column"
            self.add_fault(name, odd, "mixed_column", expected, "a column holds either numbers or text, in every row", faults)
        expected, finite = ("text", "text") if text and not number else ("a number", "a finite number")
        if not self._may_be_empty:
            self.add_fault(name, "empty", "empty_cell", expected, _FILL_IN, faults)
        elif "number" not in self.first:
            self.add_fault(name, "empty", "empty_column", "a number in some row", "leave the column out", faults)
        self.add_fault(name, "not finite", "not_finite", finite, _FILL_IN, faults)
        self.add_fault(name, "too large", "too_large_number", "a number below 1.8e308", "scale the column down", faults)
        self.add_fault(name, "unreadable", "unreadable_text", expected, "take the NUL characters out", faults)

    def add_fault(self, name: str, kind: Kind, code: str, expected: str, remedy: str, faults: Faults) -> None:
        """Adds the fault of a kind at its first cell, if there is one."""
        if not (at := self.first.get(kind)):
            return
        got = {"empty": "an empty cell", "number": f"the number {at.cell.strip()}"}.get(kind) or short(at.cell)
        more = f" (and {at.count - 1:,} more in this column)" if at.count > 1 else ""
        message = f"{at.place}, column {short(name)}: expected {expected}, got {got}{more}; {remedy}"
        faults.add(pointer(name, at.row - 1), code, message, expected=expected, got=got)
