"""Beside a number, 1 where it is missing and else 0: items of shape (2,), for which impute then fills the gap.

That a number is missing may tell more than what it would have been. The number itself stays as it is, in float64, for the steps behind.
As the two columns of scikit-learn's SimpleImputer(add_indicator=True).

    [{"type": "missing_indicator"}, {"type": "impute", "strategy": "median"}]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from nncore.definition import Definition, shown
from nncore.preprocess.step import FittedMaker, Item, Make, Maker


class MissingIndicator(Maker):
    """Tells a network where nothing is known."""

    model_config = shown(type="missing_indicator")

    takes_missing = True
    passes_numbers_on = True

    type: Literal["missing_indicator"] = "missing_indicator"

    def is_meant_for(self, item: Item) -> bool:
        return item.missing and not item.shape

    def unfit(self, item: Item) -> str | None:
        return "it works on single numbers" if item.is_text or item.shape else None

    def item_after(self, item: Item) -> Item:
        return replace(item, shape=(2,), info=None)

    def fit(self, item: Item, texts: tuple[str, ...] | None, training: Iterator[np.ndarray]) -> Any:
        return {}

    def fitted(self, columns: Mapping[str, Any]) -> FittedMissingIndicator:
        return FittedMissingIndicator.model_validate({"type": self.type, "dtype": "float64", "columns": columns})


class NothingFitted(Definition):
    """A column about which nothing needs to be known."""


class FittedMissingIndicator(FittedMaker):
    """The same as the step: nothing is fitted.

    dtype: what the number is rounded to. Where nothing is said, float32: so were those that did not say it, and they predict as ever.
    """

    takes_missing = True

    type: Literal["missing_indicator"]
    dtype: Literal["float32", "float64"] = "float32"
    columns: dict[str, NothingFitted]

    def make(self, name: str, texts: tuple[str, ...] | None) -> Make:
        def made(values: np.ndarray) -> np.ndarray:
            return np.column_stack([values, np.isnan(values)]).astype(self.dtype)

        return made

    def shape_after(self, name: str, shape: tuple[int, ...] | None) -> tuple[int, ...]:
        if shape != ():
            raise ValueError(f"the fitted missing_indicator of column {name!r} is of single numbers")
        return (2,)
