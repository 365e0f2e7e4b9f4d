"""What every step keeps: the columns it works on, and what it makes of their items.

There are two kinds. A `FeatureStep` works feature by feature and keeps the shape: its numbers are fitted, and applied, a few features of
many columns at a time, in float64. A `Maker` makes new features of one column, block of rows by block of rows, in numbers that float32
holds or is rounded to, unless it only passes the numbers of the column on; a column goes through one of them at most.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from nncore.definition import Definition
from nncore.table.column import ColumnInfo
from nncore.table.limits import MAX_NAME_CHARACTERS

ColumnName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
MOST_COLUMNS = 20_000
Make = Callable[[np.ndarray], np.ndarray]
"""Of values of a column, (rows, numbers of an item) float64 or (rows,) codes of texts: (rows, features) float32, or float64 of numbers
that are passed on."""


@dataclass(frozen=True)
class Item:
    """What a column holds in one row, at some point of its preprocessing.

    shape: of its numbers, () for a text too. info: of the column, as long as its values are those of the table. missing: whether some
    numbers are.
    """

    shape: tuple[int, ...]
    is_text: bool = False
    info: ColumnInfo | None = None
    missing: bool = False

    @classmethod
    def of(cls, info: ColumnInfo) -> Item:
        """The items of a column of the table."""
        is_text = info.categories is not None  # a missing text is a text of its own
        return cls(tuple(info.item_shape), is_text, info, info.missing > 0 and not is_text)

    @property
    def features(self) -> int:
        return prod(self.shape)

    def scaled(self) -> Item:
        """Of the same shape, with other numbers."""
        return replace(self, info=None)

    def filled(self) -> Item:
        """The same with no number missing. What else is known of the column does not hold for what was filled in."""
        return replace(self, info=None, missing=False) if self.missing else self

    def __str__(self) -> str:
        if self.is_text:
            return "text"
        if self.missing:
            return f"{replace(self, missing=False)}, some of them missing"
        return f"items of shape {list(self.shape)}" if self.shape else "single numbers"


class Step(Definition):
    """A step as a user writes it."""

    makes_features: ClassVar[bool]
    takes_missing: ClassVar[bool] = False

    type: str
    columns: Annotated[
        list[ColumnName] | None,
        Field(min_length=1, max_length=MOST_COLUMNS, description="The inputs it works on. Default: all it can work on."),
    ] = None

    def refusal(self, item: Item) -> str | None:
        """Why it cannot work on a column of such items, with the remedy; None when it can."""
        if item.missing and not self.takes_missing:
            return "numbers are missing; put impute in front of it"
        return self.unfit(item)

    @abstractmethod
    def unfit(self, item: Item) -> str | None:
        """Why it cannot work on items of this kind, whether numbers are missing or not; None when it can."""

    def is_meant_for(self, item: Item) -> bool:
        """Whether a column of such items is among `columns` where none were named."""
        return self.unfit(item) is None

    @abstractmethod
    def item_after(self, item: Item) -> Item:
        """What it makes of such items, which fit."""


class FeatureStep(Step):
    """Works feature by feature."""

    makes_features = False

    def unfit(self, item: Item) -> str | None:
        return "it works on numbers; put one_hot or bag_of_words in front of it" if item.is_text else None

    def item_after(self, item: Item) -> Item:
        return item.scaled()

    @abstractmethod
    def fit(self, training: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers of some features, (features,) each.

        training: (rows, features) float64, the training rows. channels: (features,), where on the first axis of its item each lies.
        """

    @abstractmethod
    def fitted(self, columns: Mapping[str, Any]) -> FittedFeatures:
        """The fitted step of these numbers, by column."""


class FittedFeatures(Definition):
    """A fitted FeatureStep: for each of its columns some lists, each with one number per feature."""

    makes_features: ClassVar[bool] = False
    takes_missing: ClassVar[bool] = False

    columns: dict[str, Any]

    @abstractmethod
    def apply(self, values: np.ndarray, numbers: Mapping[str, np.ndarray]) -> None:
        """Overwrites `values`, (rows, features) float64, with what these numbers, (features,) each, make of them."""

    def numbers(self, *names: str) -> dict[str, np.ndarray]:
        """The numbers of some columns side by side."""
        found = [self.columns[name] for name in names]
        return {key: np.array([number for each in found for number in getattr(each, key)]) for key in type(found[0]).model_fields}

    def shape_after(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Raises ValueError where it was fitted to another number of features."""
        lengths = {len(getattr(self.columns[name], key)) for key in type(self.columns[name]).model_fields}
        if lengths != {prod(shape)}:
            raise ValueError(f"a fitted step of column {name!r} is of {sorted(lengths)} features, expected {prod(shape)}")
        return shape


class Maker(Step):
    """Makes new features of one column."""

    makes_features = True
    passes_numbers_on: ClassVar[bool] = False
    """Whether some of its few features are the numbers of the column, which the steps behind want in float64."""

    @abstractmethod
    def fit(self, item: Item, texts: tuple[str, ...] | None, training: Iterator[np.ndarray]) -> Any:
        """What is saved for one column. texts: its categories. training: its values on the training rows, block by block; see `Make`."""

    @abstractmethod
    def fitted(self, columns: Mapping[str, Any]) -> FittedMaker:
        """The fitted step of what was saved, by column."""


class FittedMaker(Definition):
    """A fitted Maker."""

    makes_features: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = False

    columns: dict[str, Any]

    @abstractmethod
    def make(self, name: str, texts: tuple[str, ...] | None) -> Make:
        """What makes the features of the column of this name; texts: what the codes of a column of texts stand for."""

    @abstractmethod
    def shape_after(self, name: str, shape: tuple[int, ...] | None) -> tuple[int, ...]:
        """What it makes of items of this shape (None: of texts). Raises ValueError where it was not fitted to such."""
