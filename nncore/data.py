"""The data of a job as its trainer takes it: one array of inputs, one of targets or labels, and which rows are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from nncore.errors import InvalidData
from nncore.faults import Faults, pointer, short
from nncore.preprocess import PreprocessSpec
from nncore.spec.resolved import ResolvedSpec
from nncore.split import split_rows
from nncore.table import Column, Table

_FEATURES_AT_ONCE = 16  # a cache line of float32


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Rows ready for training. Row numbers are those of the table.

    inputs: (rows, *input_shape), preprocessed, C-contiguous, in the dtype of training. targets: (rows, outputs) in that dtype, or
    labels: (rows,) int64; the other is None. training_rows, validation_rows: int64, ascending. preprocessing: the fitted steps, JSON.
    """

    inputs: np.ndarray
    targets: np.ndarray | None
    labels: np.ndarray | None
    training_rows: np.ndarray
    validation_rows: np.ndarray
    preprocessing: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def prepare(cls, spec: ResolvedSpec, table: Table) -> TrainingData:
        """The data of `spec`. The table is only read; beside the result, memory for a few columns is taken.

        Preprocessing is fitted on the training rows only. Raises InvalidData where the table is not the one the spec was resolved for.
        """
        _check(spec, table)
        target = table[spec.target]
        targets = labels = None
        if spec.loss.compares_with == "labels":
            labels = np.ascontiguousarray(target.values, dtype=np.int64)
        else:
            targets = np.ascontiguousarray(target.values, dtype=spec.dtype).reshape(table.rows, prod(spec.output_shape))

        if spec.validation is None:
            training_rows, validation_rows = np.arange(table.rows), np.empty(0, dtype=np.int64)
        else:
            classes = target.values.reshape(-1) if spec.validation.stratified else None
            training_rows, validation_rows = split_rows(table.rows, spec.validation.fraction, spec.seed, classes)

        inputs = np.empty((table.rows, prod(spec.input_shape)), dtype=spec.dtype)
        preprocessing = _fill(inputs, [table[name] for name in spec.inputs], spec.preprocess, training_rows)
        return cls(inputs.reshape(table.rows, *spec.input_shape), targets, labels, training_rows, validation_rows, preprocessing)


def _fill(
    inputs: np.ndarray, columns: Sequence[Column], steps: Sequence[PreprocessSpec], training_rows: np.ndarray
) -> list[dict[str, Any]]:
    """Writes the preprocessed columns side by side into `inputs`; answers the fitted steps.

    A few features at a time go through float64: steps never mix features, so they are fitted piece by piece.
    """
    pieces: list[list[dict[str, Any]]] = [[] for _ in steps]
    at = 0
    # Scalars are grouped, so that rows of `inputs` are written a cache line at a time.
    for group in _groups(columns):
        values = np.empty((len(inputs), sum(part.shape[1] for part in group)), order="F")  # statistics run down the columns
        np.concatenate(group, axis=1, out=values)
        for fitted, step in zip(pieces, steps, strict=True):
            found = step.fit(values if len(training_rows) == len(values) else values.T.take(training_rows, axis=1).T)
            found.apply(values)
            fitted.append(found.model_dump())
        inputs[:, at : at + values.shape[1]] = values
        at += values.shape[1]
    return [_joined(fitted) for fitted in pieces]


def _groups(columns: Sequence[Column]) -> list[list[np.ndarray]]:
    """The features of all columns, (rows, some) each, in groups of about _FEATURES_AT_ONCE."""
    groups: list[list[np.ndarray]] = [[]]
    for column in columns:
        flat = column.values.reshape(len(column.values), -1)
        for first in range(0, flat.shape[1], _FEATURES_AT_ONCE):
            part = flat[:, first : first + _FEATURES_AT_ONCE]
            if sum(each.shape[1] for each in groups[-1]) + part.shape[1] > _FEATURES_AT_ONCE:
                groups.append([])
            groups[-1].append(part)
    return groups


def _joined(fitted: list[dict[str, Any]]) -> dict[str, Any]:
    """One fitted step over all features, from the pieces over a few each."""
    return {
        name: [number for piece in fitted for number in piece[name]] if isinstance(value, list) else value
        for name, value in fitted[0].items()
    }


def _check(spec: ResolvedSpec, table: Table) -> None:
    """Kernels check no bounds: nothing may reach them that does not fit."""
    faults = Faults()
    names = {column.name for column in table.columns}
    for name in [*spec.inputs, spec.target]:
        if name not in names:
            faults.add(pointer(name), "no_such_column", f"the data has no column {short(name)}, of which the spec speaks")
    if faults:
        raise InvalidData(faults.found)
    if table.rows != spec.sizes.rows:
        faults.add("", "wrong_rows", f"expected {spec.sizes.rows:,} rows, as the spec was resolved for, got {table.rows:,}")
    features = sum(prod(table[name].item_shape) for name in spec.inputs)
    if features != prod(spec.input_shape):
        faults.add("", "wrong_inputs", f"expected inputs of shape {spec.input_shape}, got {features:,} numbers in a row")
    target = table[spec.target]
    if spec.loss.compares_with == "labels":
        outputs = prod(spec.output_shape)
        ignored = getattr(spec.loss, "ignore_index", None)
        counted = target.values if ignored is None else target.values[target.values != ignored]
        if target.values.ndim != 1 or (counted.size and (counted.min() < 0 or counted.max() >= outputs)):
            faults.add(pointer(spec.target), "label_outside_classes", f"expected labels from 0 to {outputs - 1} in {short(spec.target)}")
    elif prod(target.item_shape) != prod(spec.output_shape):
        faults.add(pointer(spec.target), "wrong_targets", f"expected targets of shape {spec.output_shape} in {short(spec.target)}")
    if faults:
        raise InvalidData(faults.found)
