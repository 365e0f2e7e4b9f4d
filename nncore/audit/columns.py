"""Columns that teach nothing, or too much: constant ones, and those that give the target away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nncore.audit.finding import Finding
from nncore.table import Column

FEWEST_ROWS = 20
MOST_CLASSES = 1000
_ALMOST_ALL = 0.995


def constant_columns(inputs: Sequence[Column]) -> Iterator[Finding]:
    """Inputs of one value in every row."""
    found = [column.name for column in inputs if bool((column.values == column.values.reshape(-1)[0]).all())]
    if found:
        yield Finding(
            "constant_column",
            "warning",
            f"{len(found):,} column{'s hold' if len(found) > 1 else ' holds'} one value in every row: {', '.join(found[:5])}",
            "leave them out; they teach nothing, and standardizing them makes nothing of them",
            found[:100],
            count=len(found),
        )


def giveaway_columns(inputs: Sequence[Column], target: Column) -> Iterator[Finding]:
    """Single columns that say the target by themselves: often it was written into them, and will not be there in use."""
    if len(target.values) < FEWEST_ROWS or target.item_shape:
        return
    for column in inputs:
        if column.item_shape or not bool((column.values == column.values).all()):
            continue
        told = _told(column.values, target)
        if told is not None:
            yield Finding(
                "giveaway_column",
                "error",
                f"{column.name} alone tells {target.name} ({told}): a network will learn to look there and nowhere else",
                f"make sure that {column.name} is known when the network is used, and is not made from {target.name}; else leave it out",
                [column.name],
                count=len(target.values),
            )


def _told(values: np.ndarray, target: Column) -> str | None:
    """How well a column tells the target, in words; None where it does not."""
    wanted = target.values
    classes, labels = np.unique(wanted, return_inverse=True)
    if len(classes) < 2:
        return None
    if target.categories is not None or (len(classes) <= MOST_CLASSES and bool((np.rint(classes) == classes).all())):
        usual = np.bincount(labels).max() / len(labels)
        order = np.argsort(values, kind="stable")
        sorted_values, sorted_labels = values[order], labels[order]
        starts = np.flatnonzero(np.concatenate([[True], sorted_values[1:] != sorted_values[:-1]]))
        if len(starts) <= len(values) // 2:  # values come again: is each of one class?
            lowest, highest = np.minimum.reduceat(sorted_labels, starts), np.maximum.reduceat(sorted_labels, starts)
            sizes = np.diff([*starts, len(values)])
            right = float(sizes[lowest == highest].sum() / len(values))
        else:  # do neighbours agree?
            agree = sorted_labels[1:] == sorted_labels[:-1]
            borders = int((~agree).sum())
            right = 1.0 if borders == len(classes) - 1 else float(agree.mean())
        return f"right in {right:.1%} of the rows" if right >= max(_ALMOST_ALL, usual + 0.05) else None
    left, right_side = values.astype(np.float64), wanted.astype(np.float64)
    left, right_side = left - left.mean(), right_side - right_side.mean()
    scale = np.sqrt((left**2).sum() * (right_side**2).sum())
    correlation = float((left * right_side).sum() / scale) if scale > 0 and np.isfinite(scale) else 0.0
    return f"correlation {correlation:.4f}" if abs(correlation) > 0.9999 else None
