"""How large a table may be: a file is refused at the first limit it passes, before more of it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TableLimits:
    """Bounds on what one table may take.

    max_bytes counts the text after gzip is undone. max_unpacked_ratio: how many bytes of text a byte of a gzip file may become, which
    is asked from the first JUDGED_BYTES of text on, so that a small file cannot keep a reader busy as a large one does.
    """

    max_bytes: int = 2**30
    max_unpacked_ratio: int = 100
    max_rows: int = 10_000_000
    max_columns: int = 10_000
    max_cells: int = 200_000_000
    max_categories: int = 100_000
    max_line_bytes: int = 16 * 2**20


JUDGED_BYTES = 2**23
MAX_NAME_CHARACTERS = 200
"""The longest column name."""
