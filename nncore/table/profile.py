"""profile: what each column of a table holds, in numbers that a person looks at before training."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.table.column import Column
from nncore.table.table import Table

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 20
SHOWN_VALUES = 50
MOST_EXACT = 1_000_000
"""Of a column with more numbers, quantiles and distinct values are those of so many, evenly taken."""

_AT_ONCE = 2**18
_UNIT = 2.0**40
"""What numbers are divided by before they are added, which changes no digit and lets a sum of the largest stay finite."""


def profile(table: Table) -> list[dict[str, Any]]:
    """For each column its name, dtype, item_shape, rows, and missing values; then

    of numbers: minimum, maximum, mean, deviation (of the population), quantiles, histogram (counts between edges), distinct, sampled;
    of texts, and of few whole numbers: values, the most frequent first, with their counts. JSON. Reads in pieces.
    """
    return [_profile(column) for column in table.columns]


def _profile(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": column.name,
        "dtype": column.dtype,
        "item_shape": list(column.item_shape),
        "rows": len(column.values),
    }
    flat = column.values.reshape(-1)
    if column.categories is not None:
        counts = np.bincount(flat, minlength=len(column.categories))
        order = np.argsort(-counts, kind="stable")[:SHOWN_VALUES]
        shown = [{"value": column.categories[at], "count": int(counts[at])} for at in order if column.categories[at]]
        missing = column.missing_texts()
        distinct = len(column.categories) - bool(missing)
        return {**described, "missing": missing, "distinct": distinct, "numbers": None, "values": shown}

    pieces = [flat[at : at + _AT_ONCE] for at in range(0, flat.size, _AT_ONCE)]
    given, total = 0, 0.0
    lowest, highest = np.inf, -np.inf
    for piece in pieces:
        present = _present(piece)
        given += present.size
        if present.size:
            total += float((present / _UNIT).sum())
            lowest, highest = min(lowest, float(present.min())), max(highest, float(present.max()))
    mean = total / given * _UNIT
    span = highest - lowest
    edges = np.linspace(lowest, highest if np.isfinite(span) and span > 0 else lowest + 1, BINS + 1)
    unit = max(1.0, abs(lowest), abs(highest))  # so that no square overflows
    squares, counts = 0.0, np.zeros(BINS, dtype=np.int64)
    for piece in pieces:
        present = _present(piece)
        squares += float(((present / unit - mean / unit) ** 2).sum())
        counts += np.histogram(present, edges)[0]

    every = -(-flat.size // MOST_EXACT)
    sample = _present(flat[::every])
    with np.errstate(over="ignore", invalid="ignore"):  # between two numbers that are further apart than any is large
        quantiles = np.quantile(sample, QUANTILES)
    found, times = np.unique(sample, return_counts=True)
    numbers = {
        "minimum": lowest,
        "maximum": highest,
        "mean": min(max(mean, lowest), highest),
        "deviation": float(np.sqrt(squares / given)) * unit,
        "quantiles": {str(at): float(value) for at, value in zip(QUANTILES, quantiles, strict=True)},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "sampled": every > 1,
    }
    values = None
    if not column.item_shape and found.size <= SHOWN_VALUES and every == 1 and bool((np.rint(found) == found).all()):
        order = np.argsort(-times, kind="stable")
        values = [{"value": int(found[at]), "count": int(times[at])} for at in order]
    return {**described, "missing": int(flat.size - given), "distinct": int(found.size), "numbers": numbers, "values": values}


def _present(piece: np.ndarray) -> np.ndarray:
    """The numbers that are not missing, in float64."""
    values: np.ndarray = piece.astype(np.float64)
    present: np.ndarray = values[~np.isnan(values)]
    return present
