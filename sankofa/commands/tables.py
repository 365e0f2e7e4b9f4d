"""Tables of answers on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

UNMEASURED_WIDTH = 250  # breaks no id where there is no terminal to measure


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under the names of their columns."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    (console if console.is_terminal else Console(highlight=False, markup=False, width=UNMEASURED_WIDTH)).print(table)


def counted(count: int, noun: str) -> str:
    """1 row, 1,797 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
