"""Answers of a trained network: the inputs are preprocessed as in training, the outputs are read as the loss read them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import InvalidData
from nncore.faults import Faults, all_of, did_you_mean, pointer, short
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.preprocess import preprocessing
from nncore.preprocess.target import fitted_target
from nncore.probabilities import sigmoid, softmax
from nncore.table import Column, Table
from nncore.table.json import read_columns

ROWS_LOOKED_AT = 65_536
BLOCKS_PER_TURN = 8
"""A large prediction lets others pass after so many blocks of rows."""


@dataclass(frozen=True)
class Prediction:
    """What a network answers, row by row.

    outputs: (rows, outputs), in the dtype of training; logits under a cross-entropy, else in the unit of the
    target. probabilities: (rows, classes) under softmax
    cross-entropy; (rows,) under binary cross-entropy of one output, else (rows, outputs). labels: the likeliest class, its name where
    classes have names, else its number. Both None where the outputs are plain numbers.
    """

    outputs: np.ndarray
    probabilities: np.ndarray | None = None
    labels: np.ndarray | None = None


class Predictor:
    """Predicts with one artefact. Several threads may share it: they take turns, a few blocks of rows at a time.

    texts: the inputs that are text; all others are numbers.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._machine = Machine(Program(artifact.network, artifact.input_shape), artifact.dtype)
        self._machine.load(artifact.parameters)
        self._preprocessing = preprocessing(artifact.preprocessing, artifact.input_names, artifact.item_shapes)
        self._target = fitted_target(artifact.target_preprocessing)
        self.texts = frozenset(name for name, shape in zip(artifact.input_names, artifact.item_shapes, strict=True) if shape is None)
        self._may_miss = self.texts | frozenset(filter(self._preprocessing.takes_missing, artifact.input_names))
        self._turn = threading.Lock()

    def predict(self, columns: Mapping[str, Any]) -> Prediction:
        """The answers for `columns`: by input name, lists (of lists) of numbers or texts as in JSON, or arrays, one row per answer.

        A number of a column that was imputed in training may be missing: None, or NaN in an array. So may a text: None, or an empty one.
        Raises InvalidData with every fault found; pointers begin with /inputs.
        """
        return self.read(self._outputs(self._columns(columns)))

    def takes_missing(self, name: str) -> bool:
        """Whether values of this input may be missing."""
        return name in self._may_miss

    def taken(self, table: Table) -> list[Column]:
        """The inputs among the columns of a table, whole, for `answers`; the others are passed over.

        A single input of many numbers may lie in as many columns of numbers, in their order. Raises InvalidData with every fault found;
        pointers begin with /inputs, rows are counted from 1.
        """
        faults, wanted = Faults(), self.artifact.input_names
        columns = {column.name: column for column in _as_one_item(table, self.artifact).columns}
        _check_names({name: () for name in columns if name in wanted}, wanted, faults)
        found = []
        for name, shape in zip(wanted, self.artifact.item_shapes, strict=True):
            column = columns[name]
            if shape is None and column.categories is None:
                column = _as_texts(column, self._known(name))
            _check_column(column, shape, faults)
            if column.categories is None and name not in self._may_miss:
                _check_whole(column, faults)
            found.append(column)
        self._check_values(found, faults)
        return found

    def _known(self, name: str) -> set[str]:
        """The categories of a text that were seen in training, where one_hot took it."""
        steps = (step["columns"][name] for step in self.artifact.preprocessing if step["type"] == "one_hot" and name in step["columns"])
        return {text for step in steps for text in step["categories"] if isinstance(text, str)}

    def answers(self, columns: Sequence[Column], rows: slice = slice(None), between: Callable[[], object] = bool) -> Prediction:
        """The answers for some rows of columns that were `taken`. between: called before every few blocks of rows.

        Raises InvalidData where they overflow, with the number of the row.
        """
        return self.read(self._outputs(columns, rows, between))

    def inputs(self, columns: Mapping[str, Any]) -> np.ndarray:
        """(rows, *input_shape): the columns as the network takes them, preprocessed, in the dtype of training.

        Raises InvalidData with every fault found; pointers begin with /inputs.
        """
        return self.prepared(self._columns(columns))

    def prepared(self, columns: Sequence[Column], rows: slice = slice(None)) -> np.ndarray:
        """(rows, *input_shape): some rows of columns that were `taken`, as the network takes them. Raises InvalidData."""
        return np.concatenate([inputs for _, inputs in self._blocks(columns, rows)])

    def _columns(self, columns: Mapping[str, Any]) -> list[Column]:
        """The inputs in their order, each as it was in training."""
        artifact, faults = self.artifact, Faults()
        _check_names(columns, artifact.input_names, faults)
        shapes = zip(artifact.input_names, artifact.item_shapes, strict=True)
        told = ((name, shape) for name, shape in shapes if name in columns)
        readable = {name: columns[name] for name, shape in told if _is_of_one_kind(name, shape, columns[name], faults)}
        try:
            table = _table(readable, self._may_miss, self.texts) if readable else None
        except InvalidData as refused:
            faults.extend(refused.faults, "/inputs")
            table = None
        if faults or table is None:
            raise InvalidData(faults.found)
        found = [table[name] for name in artifact.input_names]
        for column, shape in zip(found, artifact.item_shapes, strict=True):
            _check_column(column, shape, faults)
        self._check_values(found, faults)
        return found

    def _check_values(self, found: Sequence[Column], faults: Faults) -> None:
        """Raise InvalidData with `faults`; without any yet, with those of the values."""
        if not faults:
            refused_values = Faults()
            self._preprocessing.check(found, refused_values)
            faults.extend(refused_values.found, "/inputs")
        if faults:
            raise InvalidData(faults.found)

    def _blocks(
        self, columns: Sequence[Column], rows: slice = slice(None), between: Callable[[], object] = bool
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows, and their inputs (rows, *input_shape). A few blocks of rows at a time: those of a text may be thousands of numbers."""
        at_once, apply = self._machine.program.block_rows * BLOCKS_PER_TURN, self._preprocessing.prepared(columns)
        start, stop, _ = rows.indices(len(columns[0].values))
        for first in range(start, stop, at_once):
            between()
            rows = slice(first, min(first + at_once, stop))
            with np.errstate(over="ignore"):
                inputs = apply(rows).astype(self._machine.dtype)
            self._refuse_overflow(inputs, "inputs", first)
            inputs = inputs.reshape(len(inputs), *self.artifact.input_shape)
            if refused := self.artifact.network.refuses(inputs, first):
                raise InvalidData(refused.under("/inputs"))
            yield rows, inputs

    def _outputs(self, columns: Sequence[Column], rows: slice = slice(None), between: Callable[[], object] = bool) -> np.ndarray:
        """(rows, outputs)."""
        start, stop, _ = rows.indices(len(columns[0].values))
        sums, outputs_each = np.zeros(2), self._machine.program.evaluation.outputs.size
        outputs = np.empty((stop - start, outputs_each), self._machine.dtype)
        for at, inputs in self._blocks(columns, rows, between):
            some = outputs[at.start - start : at.stop - start]
            with self._turn:
                self._machine.run_blocks(sums, Rows.of(inputs), np.arange(len(inputs)), some)
            if self._target is not None:
                some[:] = self._target.undone(some)
            self._refuse_overflow(some, "outputs", at.start)
        return outputs

    def read(self, outputs: np.ndarray) -> Prediction:
        """What outputs mean."""
        if self.artifact.loss in ("softmax_cross_entropy", "negative_log_likelihood"):
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

    def _refuse_overflow(self, numbers: np.ndarray, which: str, first: int) -> None:
        finite = np.isfinite(numbers).all(axis=1)
        if not finite.all():
            row, faults = first + int(np.argmin(finite)), Faults()
            message = f"row {row + 1}: the {which} overflow {self.artifact.dtype}; send numbers of the size that was trained with"
            faults.add("/inputs", "too_large_number", message, expected=f"finite {which}", got="an overflow")
            raise InvalidData(faults.found)


def _check_names(columns: Mapping[str, Any], wanted: tuple[str, ...], faults: Faults) -> None:
    known = set(wanted)
    for name in columns:
        if faults.full:
            break
        if name not in known:
            message = f"the network has no input {short(name)}.{did_you_mean(str(name), wanted)} Its inputs are {all_of(wanted)}"
            faults.add(pointer("inputs", name), "no_such_input", message, got=short(name))
    for name in wanted:
        if name not in columns and not faults.full:
            faults.add(pointer("inputs", name), "missing_input", f"the input {short(name)} is missing; send a row of it for each answer")
    if faults:
        raise InvalidData(faults.found)


def _is_of_one_kind(name: str, shape: tuple[int, ...] | None, rows: Any, faults: Faults) -> bool:
    """False where numbers and texts are mixed in a list; the first that is not what the network takes is a fault. shape: None for text."""
    kinds = {*map(type, rows)} - {type(None)} if isinstance(rows, list) else set()
    if str not in kinds or len(kinds) == 1 or not kinds <= {str, int, float, bool}:
        return True
    wanted, other = ("text", "number") if shape is None else ("a number", "text")
    row = next(at for at, value in enumerate(rows) if value is not None and isinstance(value, str) != (shape is None))
    got = f"the {other} {short(rows[row])}"
    message = f"row {row + 1}, column {short(name)}: expected {wanted}, as in training, got {got}"
    faults.add(pointer("inputs", name, row), "wrong_type", message, expected=wanted, got=got)
    return False


def _check_column(column: Column, shape: tuple[int, ...] | None, faults: Faults) -> None:
    """Whether the items of a column are such as in training; shape: None for text."""
    at, called = pointer("inputs", column.name), f"column {short(column.name)}"
    if column.categories is not None and shape is not None:
        message = f"{called}: expected numbers, got text; send numbers as in training"
        faults.add(at, "text_input", message, expected="numbers", got="text")
    elif column.categories is None and shape is None:
        message = f"{called}: expected text, got numbers; send text as in training"
        faults.add(at, "number_input", message, expected="text", got="numbers")
    elif shape is not None and column.item_shape != shape and {column.item_shape, shape} != {(), (1,)}:
        expected, got = _items(shape), _items(column.item_shape)
        faults.add(at, "wrong_shape", f"{called}: expected {expected} in each row, as in training, got {got}", expected=expected, got=got)


def _check_whole(column: Column, faults: Faults) -> None:
    """Whether no number is missing."""
    for first in range(0, len(column.values), ROWS_LOOKED_AT):
        block = column.values[first : first + ROWS_LOOKED_AT].reshape(-1, prod(column.item_shape))
        if column.values.dtype.kind == "f" and not (there := np.isfinite(block).all(axis=1)).all():
            row = first + int(np.argmin(there))
            message = f"row {row + 1}: a number is missing in column {short(column.name)}; fill it in, or leave the row out"
            faults.add(pointer("inputs", column.name, row), "missing_number", message, expected="a number", got="none")
            return


def _as_texts(column: Column, known: set[str]) -> Column:
    """Numbers that stand for texts, as a file that knows no difference between "7" and 7, or between "true" and 1, gives them.

    known: the texts there were in training.
    """
    if column.item_shape:
        return column
    truths = {text.lower(): text for text in known - {""}}
    meant = {1.0: truths.get("true", "true"), 0.0: truths.get("false", "false")} if truths and truths.keys() <= {"true", "false"} else {}
    distinct, codes = np.unique(column.values, return_inverse=True)
    texts = [
        "" if np.isnan(each) else meant.get(each) or (str(int(each)) if each == int(each) else str(each)) for each in distinct.tolist()
    ]
    order = np.argsort(texts)
    return Column(column.name, np.argsort(order)[codes].astype(np.int64), tuple(texts[at] for at in order))


def _as_one_item(table: Table, artifact: Artifact) -> Table:
    """The table; where the network's one input is no column of it, but as many columns hold its numbers, those as one."""
    (name, *others), shape = artifact.input_names, artifact.item_shapes[0]
    names = {column.name for column in table.columns}
    fits = len(table.columns) == prod(shape or ()) and all(column.categories is None and not column.item_shape for column in table.columns)
    if others or shape is None or name in names or not shape or not fits:
        return table
    values = np.column_stack([column.values.astype(np.float64) for column in table.columns])
    return Table([Column(name, values.reshape(table.rows, *shape))])


def _items(shape: tuple[int, ...]) -> str:
    return f"an item of shape {list(shape)}" if shape else "a single number"


def _table(columns: Mapping[str, Any], may_miss: AbstractSet[str], texts: AbstractSet[str]) -> Table:
    """Arrays as they are; everything else as JSON columns are read. may_miss: those whose values may be missing; texts: are of text."""
    arrays = {name: values for name, values in columns.items() if isinstance(values, np.ndarray) and values.dtype.kind in "biuf"}
    if len(arrays) < len(columns):
        lists = {name: _listed(values, name in may_miss) for name, values in columns.items()}
        without = {name for name in may_miss & lists.keys() if _is_all_missing(lists[name], name in texts)}
        table = read_columns({name: [0] * len(rows) if name in without else rows for name, rows in lists.items()}, may_miss=may_miss)
        return Table(_without_values(each, each.name in texts) if each.name in without else each for each in table.columns)
    faults = Faults()
    for name, values in arrays.items():
        if values.ndim == 0 or len(values) == 0 or len(values) != len(next(iter(arrays.values()))):
            faults.add(pointer(name), "no_rows", f"column {short(name)}: expected as many rows as in the other columns, at least one")
        elif not (np.isfinite(values) | (np.isnan(values) & (name in may_miss))).all():
            faults.add(pointer(name), "not_finite", f"column {short(name)}: expected finite numbers, got NaN or infinity")
    if faults:
        raise InvalidData(faults.found)
    return Table(Column(name, values.astype(np.float64)) for name, values in arrays.items())


def _listed(values: Any, may_miss: bool) -> Any:
    """Arrays as lists, with None for NaN where numbers may be missing."""
    if not isinstance(values, np.ndarray):
        return values
    if may_miss and values.dtype.kind == "f":
        cells = values.astype(object)
        cells[np.isnan(values)] = None
        return cells.tolist()
    return values.tolist()


def _is_all_missing(values: Any, are_texts: bool) -> bool:
    empty = (None, "") if are_texts else (None,)
    return isinstance(values, list) and bool(values) and all(value in empty for value in values)


def _without_values(column: Column, is_text: bool) -> Column:
    """The column with every value missing."""
    if is_text:
        return Column(column.name, np.zeros(len(column.values), np.int64), ("",))
    return Column(column.name, column.values * np.nan)
