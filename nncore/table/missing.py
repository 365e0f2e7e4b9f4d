"""What stands for a value that is not there, and which columns may miss some. Everywhere else a missing value is refused.

In a column of numbers a missing one is kept as NaN: an empty CSV cell, or a cell that says so in one of WORDS; a null in JSON and Parquet.
In a column of text it is kept as the empty text, a category of its own: an empty cell or a null. A word is a text like any other there:
"NA" may be Namibia, and "None" an answer that somebody gave.
"""

from __future__ import annotations

from collections.abc import Container

WORDS = frozenset(
    {"na", "n/a", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "-nan", "+nan", "null", "none"}
    | {"1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}  # as Windows wrote NaN
    | {"?", "-", "."}
)
"""Cells, in lower case, that say that a number is missing: those of pandas in any case, and ? - . as older data sets have them."""


class _EveryColumn:
    def __contains__(self, name: object) -> bool:
        return True


EVERY_COLUMN: Container[str] = _EveryColumn()
NO_COLUMN: Container[str] = frozenset()


def stands_for_nothing(cell: str) -> bool:
    """Whether a stripped cell says in a word that a number is missing."""
    return len(cell) <= 9 and cell.lower() in WORDS
