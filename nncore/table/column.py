"""A column: one named array (rows, *item_shape), and what there is to know about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

ColumnType = Literal["float32", "float64", "int64", "category"]

_COUNTED_RANGE = 65_536
"""Distinct whole numbers are counted where they span no more than this (one pass, no sort)."""


class ColumnInfo(BaseModel):
    """What a column holds, without its values: all that resolving a spec needs to know.

    integral: every value is a whole number. minimum, maximum: None for a category. missing: values that are not there; the others are
    described.
    distinct: how many different values; None where counting them would take a sort.
    categories: the texts of a category, sorted; its values are their positions. The empty text stands for a missing one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    dtype: ColumnType
    item_shape: list[int] = []
    integral: bool
    minimum: float | None = None
    maximum: float | None = None
    distinct: int | None = None
    categories: list[str] | None = None
    missing: int = 0


@dataclass(frozen=True, eq=False)
class Column:
    """Named values (rows, *item_shape): float32, float64 or int64, all finite; or NaN for a missing number.

    Of a dataset not all are missing; of what a network is asked they may be.
    With `categories` the values are int64 positions in that sorted tuple of texts; the empty one, first, is that of missing texts.
    """

    name: str
    values: np.ndarray
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        allowed = ("int64",) if self.categories is not None else ("float32", "float64", "int64")
        if self.values.dtype.name not in allowed or self.values.ndim == 0:
            raise TypeError(
                f'column "{self.name}": expected an array of {" or ".join(allowed)}, got {self.values.dtype} of shape {self.values.shape}'
            )

    @property
    def dtype(self) -> ColumnType:
        return "category" if self.categories is not None else self.values.dtype.name  # type: ignore[return-value]

    @property
    def item_shape(self) -> tuple[int, ...]:
        return self.values.shape[1:]

    def missing_texts(self) -> int:
        """How many texts are missing; 0 of numbers."""
        return int((self.values == 0).sum()) if self.categories and not self.categories[0] else 0

    def info(self) -> ColumnInfo:
        """Reads every value once."""
        if self.categories is not None:
            missing, texts = self.missing_texts(), list(self.categories)
            return ColumnInfo(
                name=self.name, dtype="category", integral=True, distinct=len(texts) - bool(missing), categories=texts, missing=missing
            )
        minimum, maximum, missing = _span(self.values)
        integral = _is_integral(self.values)
        distinct = None
        if integral and not self.item_shape and maximum - minimum < _COUNTED_RANGE:
            distinct = _count_distinct(self.values)
        return ColumnInfo(
            name=self.name,
            dtype=self.dtype,
            item_shape=list(self.item_shape),
            integral=integral,
            minimum=minimum,
            maximum=maximum,
            distinct=distinct,
            missing=missing,
        )


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers in blocks, so that looking at a column takes no memory of its size."""
    flat = values.reshape(-1)
    return (flat[at : at + 65_536] for at in range(0, flat.size, 65_536))


def _is_integral(values: np.ndarray) -> bool:
    """Most columns of fractions answer in the first block."""
    return values.dtype.kind == "i" or all(bool(((np.rint(block) == block) | np.isnan(block)).all()) for block in _blocks(values))


def _span(values: np.ndarray) -> tuple[float, float, int]:
    """The least and the largest number, and how many are missing."""
    lowest, highest = values.min(), values.max()  # NaN where one is missing
    if lowest == lowest:
        return float(lowest), float(highest), 0
    missing = sum(int(np.isnan(block).sum()) for block in _blocks(values))
    return float(np.nanmin(values)), float(np.nanmax(values)), missing


def _count_distinct(values: np.ndarray) -> int:
    """How many different whole numbers, which lie within _COUNTED_RANGE."""
    seen, lowest = np.zeros(_COUNTED_RANGE, dtype=bool), np.nanmin(values)
    for block in _blocks(values):
        seen[(block[block == block] - lowest).astype(np.int64)] = True
    return int(seen.sum())
