"""The data of a job as its trainer takes it: one array of inputs, one of targets or labels, and which rows are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, pointer, short
from nncore.preprocess import apply_kept, fit_and_apply, preprocessing
from nncore.preprocess.target import fit_target, fitted_target
from nncore.spec.resolved import ResolvedSpec
from nncore.split import Division, divide
from nncore.table import Column, Table

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Fitted:
    """Preprocessing that was fitted before, to be kept: the steps, and that of the target, as JSON; see TrainingData."""

    preprocessing: Sequence[Mapping[str, Any]]
    target_preprocessing: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Rows ready for training. Row numbers are those of the table.

    inputs: (rows, *input_shape), preprocessed, C-contiguous, in the dtype of training. targets: (rows, outputs) in that dtype, or
    labels: (rows,) int64; the other is None. training_rows, validation_rows, test_rows: int64, ascending. preprocessing: the fitted
    steps, JSON. weights: (rows,) of the rows in the loss, in the dtype of training; None where all count the same.
    target_preprocessing: how the targets were scaled, JSON; None where they were not.
    """

    inputs: np.ndarray
    targets: np.ndarray | None
    labels: np.ndarray | None
    training_rows: np.ndarray
    validation_rows: np.ndarray
    preprocessing: list[dict[str, Any]] = field(default_factory=list)
    weights: np.ndarray | None = None
    target_preprocessing: dict[str, Any] | None = None
    test_rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def prepare(cls, spec: ResolvedSpec, table: Table, kept: Fitted | None = None) -> TrainingData:
        """The data of `spec`. The table is only read; beside the result, memory for a few columns is taken.

        Preprocessing is fitted on the training rows only, unless some is `kept`: then that is applied. Labels are places in the classes
        of the spec, which may be more than the table has. Raises InvalidData where the table is not the one the spec was resolved for.
        """
        _check(spec, table)
        target = table[spec.target]
        split = divide(table.rows, Division.of(spec), table.__getitem__)
        training_rows = split.training_rows

        targets = labels = scaling = None
        if spec.loss.compares_with == "labels":
            labels = np.ascontiguousarray(labels_of(target, spec.classes), dtype=np.int64)
        elif kept is not None and (scaled := fitted_target(kept.target_preprocessing)) is not None:
            with np.errstate(over="ignore"):
                targets = scaled.done(target.values.reshape(table.rows, -1)).astype(spec.dtype)
            scaling = scaled.model_dump()
        elif spec.preprocess_target is not None:
            targets = np.empty((table.rows, prod(spec.output_shape)), dtype=spec.dtype)
            scaling = fit_target(target, spec.preprocess_target, training_rows, targets)
        else:
            numbers = labels_of(target, spec.classes)
            targets = np.ascontiguousarray(numbers, dtype=spec.dtype).reshape(table.rows, prod(spec.output_shape))

        weights = None
        if spec.sample_weight is not None:
            weights = np.ascontiguousarray(table[spec.sample_weight].values, dtype=spec.dtype)
            _check_some_row_counts(spec.sample_weight, weights[training_rows])

        inputs = np.empty((table.rows, prod(spec.input_shape)), dtype=spec.dtype)
        try:
            steps = _made(inputs, [table[name] for name in spec.inputs], spec, training_rows, kept)
        except ValueError as error:
            raise InvalidData(Fault("", "wrong_inputs", f"the inputs are not those that the spec was resolved for: {error}")) from None
        _refuse_overflow(inputs)
        if refused := spec.network.refuses(inputs.reshape(table.rows, *spec.input_shape)):
            raise InvalidData(refused.under("/inputs"))
        items = inputs.reshape(table.rows, *spec.input_shape)
        fitted = steps, weights, scaling
        return cls(items, targets, labels, training_rows, split.validation_rows, *fitted, split.test_rows)


def labels_of(target: Column, classes: Sequence[str] | None) -> np.ndarray:
    """(rows,): the labels of a target. Those of texts are their places in `classes`, also where the column does not hold all of them.

    Raises InvalidData naming a text that is none of them.
    """
    if target.categories is None or classes is None or list(target.categories) == list(classes):
        return target.values
    places = {name: place for place, name in enumerate(classes)}
    unknown = next((text for text in target.categories if text not in places), None)
    if unknown is not None:
        message = f"the target {short(target.name)} holds {short(unknown)}, which is none of the classes {short(list(classes))}"
        raise InvalidData(Fault(pointer(target.name), "other_classes", message, short(list(classes)), short(unknown)))
    labels: np.ndarray = np.array([places[text] for text in target.categories], dtype=np.int64)[target.values]
    return labels


def _made(
    inputs: np.ndarray, columns: Sequence[Column], spec: ResolvedSpec, training_rows: np.ndarray, kept: Fitted | None
) -> list[dict[str, Any]]:
    """Writes the preprocessed columns into `inputs`; the fitted steps."""
    if kept is None:
        return fit_and_apply(inputs, columns, spec.preprocess, training_rows)
    shapes = [None if shape is None else tuple(shape) for shape in spec.item_shapes]
    apply_kept(inputs, columns, preprocessing(kept.preprocessing, spec.inputs, shapes))
    return [dict(step) for step in kept.preprocessing]


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
    for name in [*spec.inputs, spec.target, spec.sample_weight, spec.group, spec.split_column]:
        if name is not None and name not in names:
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
