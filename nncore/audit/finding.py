"""A finding: something about the data that would teach a network wrong priorities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Severity = Literal["info", "warning", "error"]
SHOWN_ROWS = 20


@dataclass(frozen=True)
class Finding:
    """code: for programs. severity: info, warning, or error where results cannot be trusted. message and remedy: for people.

    columns: those concerned. rows: the first of the rows concerned, from 0. count: of how many rows, or groups, it is true.
    """

    code: str
    severity: Severity
    message: str
    remedy: str
    columns: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    count: int = 0


def first(rows: np.ndarray) -> list[int]:
    """The first of the rows, to be shown."""
    return [int(row) for row in np.sort(rows)[:SHOWN_ROWS]]
