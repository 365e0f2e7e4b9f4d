"""Preprocessing: fitted steps, checked once, that make the inputs of a network of any rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from nncore.faults import Faults
from nncore.preprocess.one_hot import FittedOneHot
from nncore.preprocess.routes import Route, by_route, route_of
from nncore.preprocess.step import FittedFeatures, FittedMaker
from nncore.table import Column

if TYPE_CHECKING:
    from nncore.preprocess import FittedPreprocess

Shape = tuple[int, ...]


class Preprocessing:
    """What becomes of the columns of these names before they reach the network.

    item_shapes: of each column, None where it holds text. features: how many numbers of a row come out; widths: of each column.
    Raises ValueError where the steps were not fitted to such columns, or leave text as it is.
    """

    def __init__(self, steps: Sequence[FittedPreprocess], names: Sequence[str], item_shapes: Sequence[Shape | None]) -> None:
        self.steps, self.names, self.item_shapes = steps, tuple(names), tuple(item_shapes)
        self._of_features = {number: step for number, step in enumerate(steps) if isinstance(step, FittedFeatures)}
        self._makers = {number: step for number, step in enumerate(steps) if isinstance(step, FittedMaker)}
        if len(self.names) != len(self.item_shapes):
            raise ValueError(f"{len(self.names)} inputs, but {len(self.item_shapes)} shapes")
        for step in steps:
            if unknown := step.columns.keys() - set(names):
                raise ValueError(f"a fitted {step.type} step is of the column {min(unknown)!r}, which is no input")
        routes = {name: route_of(name, steps) for name in names}
        self._runs = list(by_route(self.names, routes.__getitem__))
        shapes = zip(self.names, self.item_shapes, strict=True)
        self.widths = {name: self._features(name, shape, routes[name]) for name, shape in shapes}
        self.features = sum(self.widths.values())
        self._numbers = [
            {number: self._of_features[number].numbers(*run) for number in (*route.before, *route.after)} for route, run in self._runs
        ]

    def _features(self, name: str, shape: Shape | None, route: Route) -> int:
        for number in (*route.before, *(() if route.maker is None else (route.maker,)), *route.after):
            if number in self._makers:
                shape = self._makers[number].shape_after(name, shape)
            elif shape is None:
                raise ValueError(f"a fitted {self.steps[number].type} step is of the column {name!r}, which holds text")
            else:
                shape = self._of_features[number].shape_after(name, shape)
        if shape is None:
            raise ValueError(f"the column {name!r} holds text, and no step makes numbers of it")
        return prod(shape)

    def takes_missing(self, name: str) -> bool:
        """Whether numbers of the column of this name may be missing: its first step can do with it."""
        first = next((step for step in self.steps if name in step.columns), None)
        return first is not None and first.takes_missing

    def check(self, columns: Sequence[Column], faults: Faults) -> None:
        """Adds what a prediction must not be asked for: categories that are refused."""
        for column in columns:
            for step in self.steps:
                if isinstance(step, FittedOneHot) and column.name in step.columns:
                    step.check(column, faults)

    def prepared(self, columns: Sequence[Column]) -> Callable[[slice], np.ndarray]:
        """What makes some rows of `columns`: (rows, features) float64, the preprocessed columns side by side.

        The columns are of the names and shapes of `self`; what has to be done once for all their rows is done here.
        """
        by_name = {column.name: column for column in columns}
        runs = [[by_name[name] for name in run] for _, run in self._runs]
        makes = [
            None if route.maker is None else self._makers[route.maker].make(run[0].name, run[0].categories)
            for (route, _), run in zip(self._runs, runs, strict=True)
        ]

        def made(rows: slice) -> np.ndarray:
            parts = []
            for (route, _), run, make, numbers in zip(self._runs, runs, makes, self._numbers, strict=True):
                if run[0].categories is None:
                    values = np.column_stack([_flat(column.values[rows]) for column in run]).astype(np.float64)
                else:
                    values = run[0].values[rows]
                for number in route.before:
                    self._of_features[number].apply(values, numbers[number])
                if make is not None:
                    values = make(values).astype(np.float64)
                for number in route.after:
                    self._of_features[number].apply(values, numbers[number])
                parts.append(values)
            return np.column_stack(parts)

        return made


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), prod(values.shape[1:]))
