"""Which kinds of cells a column of a CSV file has held so far, and what is wrong with them.

Whether a column is one of numbers or of text is known only at its end, so kinds are counted while it is read and worded then, one
fault for each: a file with a million empty cells is one fault, at the first of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nncore.faults import Faults, pointer, short

Kind = Literal["number", "text", "empty", "word", "not finite", "too large", "unreadable"]
"""A word is one that says that a number is missing (missing.py), in a column that is not known to be text."""

_FILL_IN = "fill it in or leave the row out"


@dataclass
class Sighting:
    """The first cell of a kind, and how many there are. row, line: counted from 1; line: None where it is not known any more."""

    row: int
    line: int | None
    cell: str
    count: int = 0

    @property
    def place(self) -> str:
        return f"row {self.row}" if self.line is None else f"row {self.row} (line {self.line})"


@dataclass
class Sightings:
    """The kinds of one column. may_miss: whether values may be missing; may_be_empty: then also all of them."""

    first: dict[Kind, Sighting] = field(default_factory=dict)
    may_miss: bool = False
    may_be_empty: bool = False

    def add(self, kind: Kind, row: int, line: int | None, cell: str, count: int) -> None:
        """`count` more of a kind, the first of them there; nothing where there are none."""
        if count:
            self.first.setdefault(kind, Sighting(row, line, cell)).count += count

    def take_words_for_text(self) -> None:
        """What looked like words for missing numbers is text: so is the column."""
        if word := self.first.pop("word", None):
            text = self.first.setdefault("text", word)
            if text is not word:
                first = min(word, text, key=lambda each: each.row)
                self.first["text"] = Sighting(first.row, first.line, first.cell, word.count + text.count)

    @property
    def are_faulty(self) -> bool:
        """True for anything but numbers alone, or text alone, beside what may be missing."""
        kinds = self.first.keys() - ({"empty", "word"} if self.may_miss else set() if "number" in self.first else {"word"})
        return len(kinds) > 1 or not kinds <= {"number", "text"}

    def report(self, name: str, faults: Faults) -> None:
        """Adds what is wrong with the cells of the column `name`."""
        text, number = self.first.get("text"), self.first.get("number")
        if text and number:
            odd: Kind = "text" if text.count <= number.count else "number"
            expected = f"{'a number' if odd == 'text' else 'text'}, as in the rest of the column"
            self.add_fault(name, odd, "mixed_column", expected, "a column holds either numbers or text, in every row", faults)
        expected, finite = ("text", "text") if text and not number else ("a number", "a finite number")
        if not self.may_miss:
            self.add_fault(name, "empty", "empty_cell", expected, _FILL_IN, faults)
            if not text:
                self.add_fault(name, "word", "empty_cell", expected, _FILL_IN, faults)
        elif not number and not text and not self.may_be_empty:
            self.add_fault(
                name, "empty" if "empty" in self.first else "word", "empty_column", "a value in some row", "leave the column out", faults
            )
        self.add_fault(name, "not finite", "not_finite", finite, _FILL_IN, faults)
        self.add_fault(name, "too large", "too_large_number", "a number below 1.8e308", "scale the column down", faults)
        self.add_fault(name, "unreadable", "unreadable_text", expected, "take the NUL characters out", faults)

    def add_fault(self, name: str, kind: Kind, code: str, expected: str, remedy: str, faults: Faults) -> None:
        """Adds the fault of a kind at its first cell, if there is one."""
        if not (at := self.first.get(kind)):
            return
        got = {"empty": "an empty cell", "number": f"the number {at.cell.strip()}"}.get(kind) or short(at.cell)
        got += ", which stands for no value" if kind == "word" else ""
        more = f" (and {at.count - 1:,} more in this column)" if at.count > 1 else ""
        message = f"{at.place}, column {short(name)}: expected {expected}, got {got}{more}; {remedy}"
        faults.add(pointer(name, at.row - 1), code, message, expected=expected, got=got)
