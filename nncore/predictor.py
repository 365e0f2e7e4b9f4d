"""Answers of a trained network: the inputs are preprocessed as in training, the outputs are read as the loss read them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import InvalidData
from nncore.faults import Faults, did_you_mean, one_of, pointer, short
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.preprocess import apply_steps
from nncore.probabilities import sigmoid, softmax
from nncore.table import Column, Table
from nncore.table.json import read_columns

BLOCKS_PER_TURN = 8
"""A large prediction lets others pass after so many blocks of rows."""


@dataclass(frozen=True)
class Prediction:
    """What a network answers, row by row.

    outputs: (rows, outputs), in the dtype of training; logits under a cross-entropy. probabilities: (rows, classes) under softmax
    cross-entropy; (rows,) under binary cross-entropy of one output, else (rows, outputs). labels: the likeliest class, its name where
    classes have names, else its number. Both None where the outputs are plain numbers.
    """

    outputs: np.ndarray
    probabilities: np.ndarray | None = None
    labels: np.ndarray | None = None


class Predictor:
    """Predicts with one artefact. Several threads may share it: they take turns, a few blocks of rows at a time."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._machine = Machine(Program(artifact.network, artifact.input_shape), artifact.dtype)
        self._machine.load(artifact.parameters)
        self._turn = threading.Lock()

    def predict(self, columns: Mapping[str, Any]) -> Prediction:
        """The answers for `columns`: by input name, lists (of lists) of numbers as in JSON, or arrays, one row per answer.

        Raises InvalidData with every fault found; pointers begin with /inputs.
        """
        return self._read(self._outputs(self._inputs(columns)))

    def _inputs(self, columns: Mapping[str, Any]) -> np.ndarray:
        """(rows, numbers per item), preprocessed, in the dtype of training."""
        artifact, faults, features = self.artifact, Faults(), prod(self.artifact.input_shape)
        _check_names(columns, artifact.input_names, faults)
        try:
            table = _table({name: columns[name] for name in artifact.input_names if name in columns})
        except InvalidData as refused:
            faults.extend(refused.faults, "/inputs")
            raise InvalidData(faults.found) from None
        for column in table.columns:
            if column.categories is not None:
                message = f"column {short(column.name)}: expected numbers, got text; send numbers as in training"
                faults.add(pointer("inputs", column.name), "text_input", message, expected="numbers", got="text")
        found = sum(prod(column.item_shape) for column in table.columns)
        if not faults and found != features:
            message = f"expected {features:,} numbers in a row, as in training, got {found:,}; send items of shape {artifact.input_shape}"
            at = pointer("inputs", artifact.input_names[0]) if len(artifact.input_names) == 1 else "/inputs"
            faults.add(at, "wrong_shape", message, expected=f"{features:,}", got=f"{found:,}")
        if faults:
            raise InvalidData(faults.found)

        parts = [column.values.reshape(table.rows, -1) for column in table.columns]
        exact = np.column_stack([part.astype(np.float64) for part in parts])
        apply_steps(artifact.preprocessing, exact)
        with np.errstate(over="ignore"):
            inputs = exact.astype(artifact.dtype)
        self._refuse_overflow(inputs, "inputs")
        return inputs

    def _outputs(self, inputs: np.ndarray) -> np.ndarray:
        program = self._machine.program
        rows, sums = Rows.of(inputs), np.zeros(2)
        outputs = np.empty((len(inputs), program.evaluation.outputs.size), inputs.dtype)
        at_once = program.block_rows * BLOCKS_PER_TURN
        for first in range(0, len(inputs), at_once):
            order = np.arange(first, min(first + at_once, len(inputs)))
            with self._turn:
                self._machine.run_blocks(sums, rows, order, outputs[first : first + at_once])
        self._refuse_overflow(outputs, "outputs")
        return outputs

    def _read(self, outputs: np.ndarray) -> Prediction:
        if self.artifact.loss == "softmax_cross_entropy":
            return Prediction(outputs, softmax(outputs), self._named(outputs.argmax(axis=1)))
        if self.artifact.loss == "binary_cross_entropy":
            logits = outputs[:, 0] if outputs.shape[1] == 1 else outputs
            return Prediction(outputs, sigmoid(logits), self._named((logits > 0).astype(np.int64)))
        return Prediction(outputs)

    def _named(self, labels: np.ndarray) -> np.ndarray:
        """Names of the labels, where they are anything else than their numbers."""
        classes = self.artifact.classes
        if classes is None or list(classes) == [str(number) for number in range(len(classes))]:
            return labels
        return np.asarray(np.array(classes, dtype=np.str_)[labels])

    def _refuse_overflow(self, numbers: np.ndarray, which: str) -> None:
        finite = np.isfinite(numbers).all(axis=1)
        if not finite.all():
            row, faults = int(np.argmin(finite)), Faults()
            message = f"row {row + 1}: the {which} overflow {self.artifact.dtype}; send numbers of the size that was trained with"
            faults.add("/inputs", "too_large_number", message, expected=f"finite {which}", got="an overflow")
            raise InvalidData(faults.found)


def _check_names(columns: Mapping[str, Any], wanted: tuple[str, ...], faults: Faults) -> None:
    for name in wanted:
        if name not in columns:
            faults.add(pointer("inputs", name), "missing_input", f"the input {short(name)} is missing; send a row of it for each answer")
    for name in columns:
        if name not in wanted:
            message = f"the network has no input {short(name)}.{did_you_mean(str(name), wanted)} Its inputs are {one_of(wanted)}"
            faults.add(pointer("inputs", name), "no_such_input", message, got=short(name))
    if faults:
        raise InvalidData(faults.found)


def _table(columns: Mapping[str, Any]) -> Table:
    """Arrays as they are; everything else as JSON columns are read."""
    arrays = {name: values for name, values in columns.items() if isinstance(values, np.ndarray) and values.dtype.kind in "biuf"}
    if len(arrays) < len(columns):
        return read_columns({name: values.tolist() if isinstance(values, np.ndarray) else values for name, values in columns.items()})
    faults = Faults()
    for name, values in arrays.items():
        if values.ndim == 0 or len(values) == 0 or len(values) != len(next(iter(arrays.values()))):
            faults.add(pointer(name), "no_rows", f"column {short(name)}: expected as many rows as in the other columns, at least one")
        elif not np.isfinite(values).all():
            faults.add(pointer(name), "not_finite", f"column {short(name)}: expected finite numbers, got NaN or infinity")
    if faults:
        raise InvalidData(faults.found)
    return Table(Column(name, values.astype(np.float64)) for name, values in arrays.items())
