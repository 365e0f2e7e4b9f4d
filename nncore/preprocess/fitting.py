"""fit_and_apply: columns of a table become the inputs of a job, through steps that are fitted on its training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncore.preprocess.applying import Preprocessing
from nncore.preprocess.routes import FEATURES_AT_ONCE, by_route, route_of
from nncore.preprocess.step import FeatureStep, Item, Make, Maker
from nncore.table import Column

if TYPE_CHECKING:
    from nncore.preprocess import PreprocessSpec

_NUMBERS_AT_ONCE = 2**20  # of a block of rows


class _Part(NamedTuple):
    """Some features of a column: their values (rows, features), and where on the first axis of its item each lies."""

    name: str
    values: np.ndarray
    channels: np.ndarray


def fit_and_apply(
    inputs: np.ndarray, columns: Sequence[Column], steps: Sequence[PreprocessSpec], training_rows: np.ndarray
) -> list[dict[str, Any]]:
    """Writes the preprocessed columns side by side into `inputs`; answers the fitted steps, as JSON.

    inputs: (rows, all their features). Every step names its columns. Raises ValueError where the features are more or fewer than that.
    Only columns are read that it works on; beside `inputs`, memory for a few features of every row is taken.
    """
    names, at = [step.columns or () for step in steps], 0
    fitting = _Fitting(steps, training_rows)
    routes = {column.name: route_of(column.name, steps) for column in columns}
    for route, run in by_route(columns, lambda column: routes[column.name]):
        if route.maker is None:
            width = sum(prod(column.item_shape) for column in run)
            _check_room(at + width, inputs)
            fitting.features([part for column in run for part in _parts(column)], route.before, inputs[:, at : at + width])
        else:
            make, shape = fitting.maker(run[0], route.before, route.maker)
            width = prod(shape)
            _check_room(at + width, inputs)
            into = inputs[:, at : at + width]
            made = np.empty(into.shape) if route.after and fitting.passes_numbers_on(route.maker) else into
            with np.errstate(over="ignore"):  # it is looked for when all is done
                for rows, values in fitting.blocks(run[0], route.before, width):
                    made[rows] = make(values)
            if route.after:
                fitting.features(list(_parts(Column(run[0].name, made.reshape(len(made), *shape)))), route.after, into)
        at += width
    if at != inputs.shape[1]:
        raise ValueError(f"the preprocessed columns have {at:,} features, expected {inputs.shape[1]:,}")
    return [
        step.fitted({name: fitted[name] for name in mine}).model_dump()
        for step, mine, fitted in zip(steps, names, fitting.fitted, strict=True)
    ]


def apply_kept(inputs: np.ndarray, columns: Sequence[Column], kept: Preprocessing) -> None:
    """Writes the columns into `inputs` as steps that were fitted before make them: what a prediction would make of the same rows.

    inputs: (rows, all their features). Raises ValueError where the features are more or fewer than that.
    """
    if kept.features != inputs.shape[1]:
        raise ValueError(f"the preprocessed columns have {kept.features:,} features, expected {inputs.shape[1]:,}")
    made, at_once = kept.prepared(columns), max(1, _NUMBERS_AT_ONCE // max(1, kept.features))
    with np.errstate(over="ignore"):  # it is looked for when all is done
        for first in range(0, len(inputs), at_once):
            rows = slice(first, first + at_once)
            inputs[rows] = made(rows)


class _Fitting:
    """Steps while they are being fitted; `fitted`: for each of them, what was found, by column."""

    def __init__(self, steps: Sequence[PreprocessSpec], training_rows: np.ndarray) -> None:
        self._of_features = {number: step for number, step in enumerate(steps) if isinstance(step, FeatureStep)}
        self._makers = {number: step for number, step in enumerate(steps) if isinstance(step, Maker)}
        self._training_rows = training_rows
        self.fitted: list[dict[str, Any]] = [{} for _ in steps]

    def features(self, parts: Sequence[_Part], through: Sequence[int], into: np.ndarray | None) -> None:
        """Fits steps of features to these parts, some at a time in float64, and writes what comes out into (rows, features)."""
        at = 0
        for group in _groups(parts):  # scalars are grouped, so that rows are written a cache line at a time
            rows, width = len(group[0].values), sum(part.values.shape[1] for part in group)
            values = np.empty((rows, width), order="F")  # statistics run down the columns
            np.concatenate([part.values for part in group], axis=1, out=values)
            for number in through:
                self._fit(number, values, group)
            if into is not None:
                with np.errstate(over="ignore"):  # it is looked for when all is done
                    into[:, at : at + width] = values
            at += width

    def _fit(self, number: int, values: np.ndarray, group: Sequence[_Part]) -> None:
        step, rows = self._of_features[number], self._training_rows
        training = values if len(rows) == len(values) else values.T.take(rows, axis=1).T
        numbers = step.fit(training, np.concatenate([part.channels for part in group]))
        step.fitted({}).apply(values, numbers)
        first = 0
        for name, some in groupby(group, lambda part: part.name):
            last = first + sum(part.values.shape[1] for part in some)
            found = self.fitted[number].setdefault(name, {})
            for key, each in numbers.items():
                found.setdefault(key, []).extend(each[first:last].tolist())
            first = last

    def passes_numbers_on(self, number: int) -> bool:
        """Whether what this maker makes goes through the steps behind it in float64, in memory of its own."""
        return self._makers[number].passes_numbers_on

    def maker(self, column: Column, before: Sequence[int], number: int) -> tuple[Make, tuple[int, ...]]:
        """Fits a maker to a column, and the steps in front of it; what makes the features, and their shape."""
        if before:
            self.features(list(_parts(column)), before, None)
        step, item = self._makers[number], Item.of(column.info())
        for each in before:
            item = self._of_features[each].item_after(item)
        blocks = self.blocks(column, before, item.features, self._training_rows)
        self.fitted[number][column.name] = step.fit(item, column.categories, (values for _, values in blocks))
        fitted = step.fitted({column.name: self.fitted[number][column.name]})
        return fitted.make(column.name, column.categories), step.item_after(item).shape

    def blocks(
        self, column: Column, before: Sequence[int], width: int, of: np.ndarray | None = None
    ) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
        """Blocks of rows, of `of` or all, as a maker takes them: which they are, and their values. width: numbers made of a row."""
        applied = [self._of_features[number].fitted({column.name: self.fitted[number][column.name]}) for number in before]
        features = prod(column.item_shape)
        at_once = max(1, _NUMBERS_AT_ONCE // max(width, features))
        for first in range(0, len(column.values) if of is None else len(of), at_once):
            rows = slice(first, first + at_once) if of is None else of[first : first + at_once]
            if column.categories is not None:
                yield rows, column.values[rows]
                continue
            values = column.values[rows].reshape(-1, features).astype(np.float64)
            for step in applied:
                step.apply(values, step.numbers(column.name))
            yield rows, values


def _parts(column: Column) -> Iterator[_Part]:
    """The features of a column, FEATURES_AT_ONCE at a time."""
    flat = column.values.reshape(len(column.values), -1)
    channels = np.repeat(np.arange((column.item_shape or (1,))[0]), prod(column.item_shape[1:]))
    for first in range(0, flat.shape[1], FEATURES_AT_ONCE):
        piece = slice(first, first + FEATURES_AT_ONCE)
        yield _Part(column.name, flat[:, piece], channels[piece])


def _groups(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """The parts in groups of about FEATURES_AT_ONCE features."""
    group: list[_Part] = []
    for part in parts:
        if group and sum(each.values.shape[1] for each in group) + part.values.shape[1] > FEATURES_AT_ONCE:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _check_room(width: int, inputs: np.ndarray) -> None:
    if width > inputs.shape[1]:
        raise ValueError(f"the preprocessed columns have more than {inputs.shape[1]:,} features")
