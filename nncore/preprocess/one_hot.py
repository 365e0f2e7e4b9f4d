"""One feature for each category: 1 where the row is of it, else 0. As scikit-learn's OneHotEncoder.

Without `categories` those of the data are taken: the texts of a column, sorted, or every whole number from its least to its largest. One
that no training row has stays 0, as an unknown one: nothing was learnt about it. Categories that are given count as known.
While training, what is unknown is 0 in every feature; `unknown` says what becomes of it in a prediction.

    {"type": "one_hot", "columns": ["colour"], "unknown": "refuse"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from nncore.definition import Definition, shown
from nncore.faults import Faults, pointer, short
from nncore.preprocess.step import FittedMaker, Item, Make, Maker
from nncore.table.column import Column

MOST_WHOLE_NUMBERS = 1000
"""Categories of a column of numbers that are found by themselves; more have to be given."""

Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Unknown = Literal["zeros", "refuse"]


class OneHot(Maker):
    """Makes numbers of categories without giving them an order."""

    model_config = shown(type="one_hot", columns=["colour"], unknown="refuse")

    type: Literal["one_hot"] = "one_hot"
    categories: Annotated[
        list[str] | list[Whole] | None,
        Field(min_length=1, max_length=100_000, description="All there are, in the order of their features. Default: those of the data."),
    ] = None
    unknown: Annotated[Unknown, Field(description="In a prediction, another category is 0 in every feature, or the row is refused.")] = (
        "zeros"
    )

    @field_validator("categories")
    @classmethod
    def _each_once(cls, categories: list[str] | list[int] | None) -> list[str] | list[int] | None:
        if categories is not None and len(set(categories)) < len(categories):
            twice = next(each for at, each in enumerate(categories) if each in categories[:at])
            raise PydanticCustomError("duplicate_category", "the category {twice} stands twice; take one out", {"twice": short(twice)})
        return categories

    def is_meant_for(self, item: Item) -> bool:
        return item.is_text

    def unfit(self, item: Item) -> str | None:
        of_texts = None if self.categories is None else isinstance(self.categories[0], str)
        if item.is_text:
            return "its categories are numbers; give texts, or name columns of whole numbers" if of_texts is False else None
        if of_texts:
            return "its categories are texts; give whole numbers, or name columns of text"
        known = item.info is not None or self.categories is not None
        if item.shape or not known or (item.info is not None and not item.info.integral):
            return "it works on columns of text, and of single whole numbers as they stand in the data"
        if of_texts is None and item.info and (item.info.maximum or 0) - (item.info.minimum or 0) >= MOST_WHOLE_NUMBERS:
            return f"its numbers span more than {MOST_WHOLE_NUMBERS:,}; give the categories, or take the column as a number"
        return None

    def item_after(self, item: Item) -> Item:
        return Item((len(self._places(item)),))

    def _places(self, item: Item) -> Sequence[str | int]:
        """The category of each feature."""
        if self.categories is not None:
            return self.categories
        if item.info is None:
            raise TypeError("categories are those of a column of the data")
        if item.info.categories is not None:
            return item.info.categories
        return range(int(item.info.minimum or 0), int(item.info.maximum or 0) + 1)

    def fit(self, item: Item, texts: tuple[str, ...] | None, training: Iterator[np.ndarray]) -> Any:
        places = self._places(item)
        if self.categories is not None:
            return {"categories": list(places)}
        first = int(places[0]) if texts is None else 0
        seen = np.zeros(len(places), dtype=bool)
        for values in training:
            seen[values.reshape(-1).astype(np.int64) - first] = True
        return {"categories": [category if there else None for category, there in zip(places, seen.tolist(), strict=True)]}

    def fitted(self, columns: Mapping[str, Any]) -> FittedOneHot:
        return FittedOneHot.model_validate({"type": self.type, "unknown": self.unknown, "columns": columns})


class Categories(Definition):
    """The category of each feature; null where none was seen."""

    categories: Annotated[list[str | None] | list[int | None], Field(min_length=1)]

    @property
    def of_texts(self) -> bool:
        return any(isinstance(each, str) for each in self.categories)


class FittedOneHot(FittedMaker):
    """1 at the place of the row's category, else 0."""

    type: Literal["one_hot"]
    unknown: Unknown
    columns: dict[str, Categories]

    def make(self, name: str, texts: tuple[str, ...] | None) -> Make:
        size, place_of = len(self.columns[name].categories), self._finder(name, texts)

        def made(values: np.ndarray) -> np.ndarray:
            places = place_of(values)
            features = np.zeros((len(places), size), np.float32)
            known = np.flatnonzero(places >= 0)
            features[known, places[known]] = 1
            return features

        return made

    def _finder(self, name: str, texts: tuple[str, ...] | None) -> Callable[[np.ndarray], np.ndarray]:
        """What tells where the category of each row is; -1 where it is unknown."""
        place = {category: at for at, category in enumerate(self.columns[name].categories) if category is not None}
        if texts is not None:
            of_text = np.array([place.get(text, -1) for text in texts], dtype=np.int64)
            return lambda codes: np.asarray(of_text[codes.reshape(-1)])

        def of_numbers(values: np.ndarray) -> np.ndarray:
            numbers, which = np.unique(values, return_inverse=True)
            return np.array([place.get(number, -1) for number in numbers.tolist()], dtype=np.int64)[which.reshape(-1)]

        return of_numbers

    def shape_after(self, name: str, shape: tuple[int, ...] | None) -> tuple[int, ...]:
        if self.columns[name].of_texts != (shape is None) or shape:
            raise ValueError(f"the fitted one_hot of column {name!r} is of {'texts' if shape else 'other items'}")
        return (len(self.columns[name].categories),)

    def check(self, column: Column, faults: Faults) -> None:
        """Adds the first unknown category of a column that a prediction is asked for, where such are refused."""
        if self.unknown == "zeros":
            return
        places = self._finder(column.name, column.categories)(column.values)
        if (unknown := places < 0).any():
            row = int(np.argmax(unknown))
            value = column.values.reshape(-1)[row]
            got = short(column.categories[value] if column.categories is not None else float(value))
            message = f"row {row + 1}, column {short(column.name)}: expected a category of the training rows, got {got}"
            message += '; to take it for none of them, train with "unknown": "zeros"'
            faults.add(pointer(column.name, row), "unknown_category", message, expected="a known category", got=got)
