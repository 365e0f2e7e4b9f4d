"""The data of a job as its trainer takes it: one array of inputs, one of targets or labels, and which rows are held out."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, pointer, short
from nncore.preprocess import fit_and_apply
from nncore.spec.resolved import ResolvedSpec
from nncore.split import split_rows
from nncore.table import Column, Table

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Rows ready for training. Row numbers are those of the table.

    inputs: (rows, *input_shape), preprocessed, C-contiguous, in the dtype of training. targets: (rows, outputs) in that dtype, or
    labels: (rows,) int64; the other is None. training_rows, validation_rows: int64, ascending. preprocessing: the fitted steps, JSON.
    weights: (rows,) of the rows in the loss, in the dtype of training; None where all count the same.
    """

    inputs: np.ndarray
    targets: np.ndarray | None
    labels: np.ndarray | None
    training_rows: np.ndarray
    validation_rows: np.ndarray
    preprocessing: list[dict[str, Any]] = field(default_factory=list)
    weights: np.ndarray | None = None

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

        weights = None
        if spec.sample_weight is not None:
            weights = np.ascontiguousarray(table[spec.sample_weight].values, dtype=spec.dtype)
            _check_some_row_counts(spec.sample_weight, weights[training_rows])

        inputs = np.empty((table.rows, prod(spec.input_shape)), dtype=spec.dtype)
        try:
            preprocessing = fit_and_apply(inputs, [table[name] for name in spec.inputs], spec.preprocess, training_rows)
        except ValueError as error:
            raise InvalidData(Fault("", "wrong_inputs", f"the inputs are not those that the spec was resolved for: {error}")) from None
        _refuse_overflow(inputs)
        if refused := spec.network.refuses(inputs.reshape(table.rows, *spec.input_shape)):
            raise InvalidData(refused.under("/inputs"))
        return cls(inputs.reshape(table.rows, *spec.input_shape), targets, labels, training_rows, validation_rows, preprocessing, weights)


def _refuse_overflow(inputs: np.ndarray) -> None:
    """Columns are finite; what steps make of them need not be."""
    for first in range(0, len(inputs), _ROWS_AT_ONCE):
        finite = np.isfinite(inputs[first : first + _ROWS_AT_ONCE]).all(axis=1)
        if not finite.all():
            row, dtype = first + int(np.argmin(finite)), inputs.dtype.name
            message = f"row {row + 1}: its preprocessed inputs overflow {dtype}; scale the columns down, or change the steps"
            raise InvalidData(Fault("", "too_large_number", message, expected=f"numbers that {dtype} holds", got="an overflow"))


def _check_some_row_counts(name: str, weights: np.ndarray) -> None:
    if not weights.any():
        faults = Faults()
        message = f"every row that is trained on has the weight 0 in {short(name)}; hold out other rows (another seed), or raise a weight"
        faults.add(pointer(name), "no_row_counts", message, expected="a weight above 0", got="0")
        raise InvalidData(faults.found)


def _check(spec: ResolvedSpec, table: Table) -> None:
    """Kernels check no bounds: nothing may reach them that does not fit."""
    faults = Faults()
    names = {column.name for column in table.columns}
    for name in [*spec.inputs, spec.target, *([] if spec.sample_weight is None else [spec.sample_weight])]:
        if name not in names:
            faults.add(pointer(name), "no_such_column", f"the data has no column {short(name)}, of which the spec speaks")
    if faults:
        raise InvalidData(faults.found)
    if table.rows != spec.sizes.rows:
        faults.add("", "wrong_rows", f"expected {spec.sizes.rows:,} rows, as the spec was resolved for, got {table.rows:,}")
    for name, shape in zip(spec.inputs, spec.item_shapes, strict=True):
        if _shape(table[name]) != shape:
            expected, got = ("text" if each is None else f"items of shape {each}" for each in (shape, _shape(table[name])))
            message = f"the column {short(name)}: expected {expected}, as the spec was resolved for, got {got}"
            faults.add(pointer(name), "wrong_inputs", message, expected=expected, got=got)
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


def _shape(column: Column) -> list[int] | None:
    return None if column.categories is not None else list(column.item_shape)
