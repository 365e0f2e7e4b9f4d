"""The answer to a question, part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidData
from nncore.explain import gradient_check, input_gradients, layer_activations, maximal_input
from nncore.explain.loss_slices import _Surroundings as Surroundings
from nncore.explain.permutation_importance import ANSWERS, LABELS, LOWER_IS_BETTER
from nncore.explanation import asked as questions
from nncore.faults import one_of, short
from nncore.layers import Embedding
from nncore.losses import LossSpec
from nncore.metrics import METRICS
from nncore.predictor import Predictor
from nncore.preprocess.target import fitted_target
from nncore.table import Column, Table

MOST_ROWS = 1_000
MOST_NUMBERS = 2_000_000
"""Of an answer that is given at once."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of a dataset: the columns as the network takes them, and what it should answer, as in the dataset."""

    columns: Sequence[Column]
    target: Column

    @classmethod
    def of(cls, predictor: Predictor, table: Table, rows: np.ndarray, most: int, loss: LossSpec) -> Sample:
        """Of these rows of a table no more than `most`, evenly taken, without those whose label the loss of training ignores.

        Raises InvalidData where the network cannot read or answer it, or no row counts.
        """
        artifact = predictor.artifact
        if artifact.target not in {column.name for column in table.columns}:
            message = f"the dataset has no column {short(artifact.target)}, which the network answers; name another dataset"
            raise InvalidData(Fault("/dataset", "no_such_column", message, short(artifact.target)))
        rows = _counted(rows, table[artifact.target], artifact, loss)
        some = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]
        wanted = {*artifact.input_names, artifact.target}
        taken = Table(_rows(column, some) for column in table.columns if column.name in wanted)
        return cls(predictor.taken(taken), taken[artifact.target])


class Parts(ABC):
    """An answer in parts: `count` of them, each JSON that depends on nothing but its number."""

    count = 1

    @abstractmethod
    def part(self, number: int) -> Any:
        """One of them. Raises InvalidData."""

    @abstractmethod
    def whole(self, parts: Sequence[Any]) -> dict[str, Any]:
        """The answer of all of them, JSON."""


def explanation(asked: questions.ExplainSpec, predictor: Predictor, loss: LossSpec, sample: Sample | None) -> Parts:
    """The answer to a question. loss: of training. sample: rows for what is asked of rows. Raises InvalidData."""
    match asked:
        case questions.InputGradients():
            return _Gradients(asked, predictor)
        case questions.LayerActivations():
            return _Activations(asked, predictor)
        case questions.MaximalInput():
            return _Maximal(asked, predictor.artifact)
    assert sample is not None, "asked of rows"
    match asked:
        case questions.PermutationImportance():
            return _Importance(asked, predictor, sample)
        case questions.GradientCheck():
            return _Check(asked, predictor, loss, sample)
    return _Slice(asked, predictor, loss, sample)


class _Gradients(Parts):
    def __init__(self, asked: questions.InputGradients, predictor: Predictor) -> None:
        _check_slopes(predictor.artifact)
        self._artifact, self._inputs = predictor.artifact, _few(predictor, asked.inputs)
        self._output = _output(self._artifact, asked.output)

    def part(self, number: int) -> Any:
        return input_gradients(self._artifact, self._inputs, self._output).tolist()

    def whole(self, parts: Sequence[Any]) -> dict[str, Any]:
        return {"inputs": self._inputs.tolist(), "gradients": parts[0]}


class _Activations(Parts):
    def __init__(self, asked: questions.LayerActivations, predictor: Predictor) -> None:
        self._artifact, self._inputs = predictor.artifact, _few(predictor, asked.inputs)
        layers = len(self._artifact.network.layers)
        self._layers = list(range(layers)) if asked.layers is None else asked.layers
        if wrong := [layer for layer in self._layers if not 0 <= layer < layers]:
            expected = f"layers from 0 to {layers - 1}"
            raise InvalidData(Fault("/layers", "no_such_layer", f"expected {expected}, got {wrong[0]}", expected, str(wrong[0])))
        shapes = self._artifact.network.shapes(self._artifact.input_shape)[1:]
        numbers = len(self._inputs) * sum(prod(shapes[layer]) for layer in self._layers)
        if numbers > MOST_NUMBERS:
            most = f"at most {MOST_NUMBERS:,} numbers"
            message = f"the answer would hold {numbers:,} numbers, expected {most}; send fewer rows, or name some layers"
            raise InvalidData(Fault("/layers", "too_many_numbers", message, most, f"{numbers:,}"))

    def part(self, number: int) -> Any:
        found = layer_activations(self._artifact, self._inputs)
        return [{"layer": layer, "activations": found[layer].tolist()} for layer in self._layers]

    def whole(self, parts: Sequence[Any]) -> dict[str, Any]:
        return {"layers": parts[0]}


class _Maximal(Parts):
    def __init__(self, asked: questions.MaximalInput, artifact: Artifact) -> None:
        self._asked, self._artifact, self.count = asked, artifact, len(asked.units)
        _check_slopes(artifact)
        layers = artifact.network.layers
        if asked.layer >= len(layers):
            expected = f"a layer from 0 to {len(layers) - 1}"
            raise InvalidData(Fault("/layer", "no_such_layer", f"expected {expected}, got {asked.layer}", expected, str(asked.layer)))
        shape = artifact.network.shapes(artifact.input_shape)[asked.layer + 1]
        for number, unit in enumerate(asked.units):
            places = [unit] if isinstance(unit, int) else unit
            if len(places) != len(shape) or not all(0 <= place < size for place, size in zip(places, shape, strict=True)):
                expected = f"a unit below {list(shape)}, a number for each axis"
                raise InvalidData(Fault(f"/units/{number}", "no_such_unit", f"expected {expected}, got {places}", expected, str(places)))
        if asked.bounds is not None and asked.bounds[0] >= asked.bounds[1]:
            expected = "the least and then the largest number"
            raise InvalidData(Fault("/bounds", "wrong_bounds", f"expected {expected}, got {asked.bounds}", expected, str(asked.bounds)))

    def part(self, number: int) -> Any:
        asked, unit = self._asked, self._asked.units[number]
        bounds = None if asked.bounds is None else (asked.bounds[0], asked.bounds[1])
        options: dict[str, Any] = {"steps": asked.steps, "rate": asked.rate, "decay": asked.decay, "bounds": bounds, "seed": asked.seed}
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                found = maximal_input(self._artifact, asked.layer, unit, **options)
        except InvalidData as refused:
            message = f"the search for unit {unit} leaves the finite numbers; lower rate or decay, or give bounds"
            raise InvalidData(Fault("/rate", "overflow", message, "a search within the finite numbers", str(asked.rate))) from refused
        path = [_finite(value) for value in _thinned(found.path).tolist()]
        return {"unit": unit, "activation": _finite(found.activation), "inputs": found.inputs.tolist(), "path": path}

    def whole(self, parts: Sequence[Any]) -> dict[str, Any]:
        return {"layer": self._asked.layer, "units": list(parts)}


class _Importance(Parts):
    """Part 0 is the metric as it is; then a part for each column, or number of its items."""

    def __init__(self, asked: questions.PermutationImportance, predictor: Predictor, sample: Sample) -> None:
        artifact = predictor.artifact
        self._asked, self._predictor, self._sample = asked, predictor, sample
        self._metric = asked.metric or ("accuracy" if artifact.loss in ANSWERS else "r2")
        if (METRICS[self._metric].judges == "numbers") == (artifact.loss in ANSWERS) or (
            METRICS[self._metric].judges == "labels" and artifact.loss not in LABELS
        ):
            message = f"the metric {self._metric} does not judge what this network answers; leave it out"
            raise InvalidData(Fault("/metric", "unfit_metric", message, got=self._metric))
        self._expected = _expected(artifact, sample.target, scaled=False)
        self._dealt = [
            (number, feature)
            for number, column in enumerate(sample.columns)
            for feature in (range(prod(column.item_shape)) if asked.features and column.item_shape else [None])
        ]
        self.count = 1 + len(self._dealt)

    def part(self, number: int) -> Any:
        if number == 0:
            return self._judged(self._sample.columns)
        at, feature = self._dealt[number - 1]
        column, drops = self._sample.columns[at], []
        for repeat in range(self._asked.repeats):
            order = np.random.default_rng([self._asked.seed, at, repeat]).permutation(len(self._expected))
            values = column.values[order]
            if feature is not None:
                values = column.values.copy()
                flat = values.reshape(len(values), -1)
                flat[:, feature] = flat[order, feature]
            columns = [*self._sample.columns[:at], Column(column.name, values, column.categories), *self._sample.columns[at + 1 :]]
            drops.append(self._judged(columns))
        return drops

    def _judged(self, columns: Sequence[Column]) -> float:
        return METRICS[self._metric].compute(self._predictor.answers(columns).outputs, self._expected)

    def whole(self, parts: Sequence[Any]) -> dict[str, Any]:
        before, *found = parts
        sign = -1.0 if self._metric in LOWER_IS_BETTER else 1.0
        data = []
        for (at, feature), judged in zip(self._dealt, found, strict=True):
            drops = [sign * (before - each) for each in judged]
            mean, deviation = float(np.mean(drops)), float(np.std(drops))
            name = self._sample.columns[at].name
            data.append({"column": name, "feature": feature, "mean": mean, "deviation": deviation, "drops": drops})
        return {"metric": self._metric, "value": before, "rows": len(self._expected), "columns": data}


class _Slice(Parts):
    """A part for each point of a line, or each row of a plane."""

    def __init__(self, asked: questions.LossLine | questions.LossPlane, predictor: Predictor, loss: LossSpec, sample: Sample) -> None:
        expected = _expected(predictor.artifact, sample.target, scaled=True)
        self._around = Surroundings(predictor.artifact, loss, predictor.prepared(sample.columns), expected)
        generator = np.random.default_rng(asked.seed)
        self._first = self._around.direction(generator)
        self._second = self._around.direction(generator) if isinstance(asked, questions.LossPlane) else None
        self._positions = np.linspace(-asked.radius, asked.radius, asked.points)
        self._rows, self.count = len(expected), asked.points

    def part(self, number: int) -> Any:
        aside = self._positions[number] * self._first
        if self._second is None:
            return _finite(self._around.loss(aside))
        return [_finite(self._around.loss(aside + other * self._second)) for other in self._positions]

    def whole(self, parts: Sequence[Any]) -> dict[str, Any]:
        return {"positions": self._positions.tolist(), "losses": list(parts), "rows": self._rows}


class _Check(Parts):
    def __init__(self, asked: questions.GradientCheck, predictor: Predictor, loss: LossSpec, sample: Sample) -> None:
        self._asked, self._artifact, self._loss = asked, predictor.artifact, loss
        self._inputs = predictor.prepared(sample.columns)
        self._expected = _expected(predictor.artifact, sample.target, scaled=True)

    def part(self, number: int) -> Any:
        artifact, options = self._artifact, {"most_of_each": self._asked.most_of_each, "seed": self._asked.seed}
        try:
            report = gradient_check(artifact.network, self._loss, self._inputs, self._expected, parameters=artifact.parameters, **options)
        except ArithmeticError as error:
            raise InvalidData(Fault("", "not_finite", f"the gradient cannot be checked: {error}")) from None
        parameters = [{**vars(each), "shape": list(each.shape)} for each in report.parameters]
        return {"loss": report.loss, "relative_error": report.relative_error, "parameters": parameters}

    def whole(self, parts: Sequence[Any]) -> dict[str, Any]:
        return dict(parts[0])


def _check_slopes(artifact: Artifact) -> None:
    if isinstance(artifact.network.layers[0], Embedding):
        message = (
            "the inputs of an embedding are tokens, along which there is no slope; ask for layer_activations, or permutation_importance"
        )
        raise InvalidData(Fault("/type", "no_slope", message, "inputs that are numbers", "tokens"))


def _few(predictor: Predictor, inputs: Any) -> np.ndarray:
    """The rows in a question, as the network takes them."""
    if not isinstance(inputs, dict):
        expected = "columns by name"
        raise InvalidData(Fault("/inputs", "wrong_type", f"inputs: expected {expected}, got {short(inputs)}", expected, short(inputs)))
    rows = max((len(values) for values in inputs.values() if isinstance(values, list)), default=0)
    if rows > MOST_ROWS:
        most = f"at most {MOST_ROWS:,} rows"
        raise InvalidData(Fault("/inputs", "too_many_rows", f"expected {most}, got {rows:,}; send fewer at a time", most, f"{rows:,}"))
    return predictor.inputs(inputs)


def _output(artifact: Artifact, asked: int | str | None) -> int | None:
    """The number of an output."""
    outputs = prod(artifact.network.output_shape(artifact.input_shape))
    if asked is None:
        return None
    if isinstance(asked, int):
        if not 0 <= asked < outputs:
            expected = f"an output from 0 to {outputs - 1}"
            raise InvalidData(Fault("/output", "no_such_output", f"expected {expected}, got {asked}", expected, str(asked)))
        return asked
    names = artifact.classes or ()
    if asked not in names or outputs != len(names):
        message = f"there is no output of the name {short(asked)}; expected {one_of(names) if names else 'a number'}"
        raise InvalidData(Fault("/output", "no_such_output", message, one_of(names) if names else "a number", short(asked)))
    return names.index(asked)


def _expected(artifact: Artifact, target: Column, *, scaled: bool) -> np.ndarray:
    """Labels (rows,), or targets (rows, outputs). scaled: as the loss compares with them. Raises InvalidData."""
    values, outputs = target.values, prod(artifact.network.output_shape(artifact.input_shape))
    if target.categories is not None:
        numbers = {name: number for number, name in enumerate(artifact.classes or ())}
        if unknown := [name for name in target.categories if name not in numbers]:
            message = f"the network does not know the class {short(unknown[0])} of the column {short(target.name)}"
            raise InvalidData(Fault("/dataset", "no_such_label", message, one_of(numbers) if numbers else "numbers", short(unknown[0])))
        values = np.array([numbers[name] for name in target.categories], dtype=np.int64)[values]
    if artifact.loss in LABELS:
        labels = np.ascontiguousarray(values.reshape(len(values), -1)[:, 0], dtype=np.int64)
        if values.ndim != 1 or labels.min() < 0 or labels.max() >= outputs:
            message = f"expected labels from 0 to {outputs - 1} in {short(target.name)}"
            raise InvalidData(Fault("/dataset", "label_outside_classes", message, f"0 to {outputs - 1}"))
        return labels
    targets = np.ascontiguousarray(values.reshape(len(values), -1), dtype=artifact.dtype)
    if targets.shape[1] != outputs or not np.isfinite(targets).all():
        message = f"expected {outputs} finite numbers a row in {short(target.name)}, got {targets.shape[1]}"
        raise InvalidData(Fault("/dataset", "wrong_targets", message, str(outputs), str(targets.shape[1])))
    scaling = fitted_target(artifact.target_preprocessing) if scaled else None
    if scaling is None:
        return targets
    learned: np.ndarray = (targets.astype(np.float64) - np.array(scaling.offset)) / np.array(scaling.scale)
    return learned.astype(artifact.dtype)


def _counted(rows: np.ndarray, target: Column, artifact: Artifact, loss: LossSpec) -> np.ndarray:
    """Those of the rows whose label is not ignored. Raises InvalidData where there is none."""
    ignored = getattr(loss, "ignore_index", None)
    if ignored is None:
        return rows
    if target.categories is not None:  # labels are numbers of the classes that the network knows
        names = artifact.classes or ()
        called = names[ignored] if 0 <= ignored < len(names) else None
        ignored = target.categories.index(called) if called in target.categories else None
    found: np.ndarray = rows[target.values[rows].reshape(len(rows), -1)[:, 0] != ignored]
    if len(found) == 0:
        message = f"every label in {short(target.name)} is {ignored}, which the loss of training ignores; name another dataset"
        raise InvalidData(Fault("/dataset", "no_row_counts", message, "a label that is not ignored", str(ignored)))
    return found


def _rows(column: Column, rows: np.ndarray) -> Column:
    return Column(column.name, column.values[rows], column.categories)


def _thinned(path: np.ndarray, most: int = 200) -> np.ndarray:
    return path[np.linspace(0, len(path) - 1, min(most, len(path))).astype(np.int64)]


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
