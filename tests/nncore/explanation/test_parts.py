"""Answers in parts are those of nncore.explain, whatever they are cut into."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidData
from nncore.explain import (
    gradient_check,
    input_gradients,
    layer_activations,
    loss_along_line,
    loss_over_plane,
    maximal_input,
    permutation_importance,
)
from nncore.explanation import Explain, Parts, Sample, explanation, kernels_needed, of_rows
from nncore.machine.kernels import Kernel
from nncore.predictor import Predictor
from nncore.table import Table
from nncore.table.json import read_columns
from nncore.trainer import Trainer

RANDOM = np.random.default_rng(0)
SIZES = RANDOM.random((60, 2)).round(3)
COLUMNS: dict[str, Any] = {
    "size": SIZES.tolist(),
    "weight": RANDOM.random(60).round(3).tolist(),
    "kind": ["large" if height * width > 0.25 else "small" for height, width in SIZES],
    "price": (100_000 * SIZES[:, 0]).tolist(),
}
LAYERS = [{"type": "dense", "units": 4, "activation": "tanh"}]
INPUTS = {"size": [[0.5, 0.5], [0.9, 0.1]], "weight": [0.1, 0.2]}

Ask = Callable[..., dict[str, Any]]


class Trained:
    """A network, its table, and the answers to questions."""

    def __init__(self, job: Any, target: str, units: int, **spec: Any) -> None:
        asked = {"inputs": ["size", "weight"], "target": target, "network": [*LAYERS, {"type": "dense", "units": units}], "epochs": 150}
        self.trainer = Trainer(
            *job(
                COLUMNS,
                **asked,
                seed=1,
                dtype="float64",
                preprocess=[{"type": "standardize"}],
                optimizer={"type": "adam", "learning_rate": 0.02},
                **spec,
            )
        )
        list(self.trainer.run())
        self.artifact, self.loss = self.trainer.artifact("last"), self.trainer.spec.loss
        self.predictor, self.table = Predictor(self.artifact), read_columns(COLUMNS)

    def parts(self, table: Table | None = None, **asked: Any) -> Parts:
        spec, found = Explain.model_validate(asked).root, table or self.table
        most = of_rows(spec)
        sample = None if most is None else Sample.of(self.predictor, found, np.arange(found.rows), most, self.loss)
        return explanation(spec, self.predictor, self.loss, sample)

    def ask(self, **asked: Any) -> dict[str, Any]:
        parts = self.parts(**asked)
        found = [json.loads(json.dumps(parts.part(number))) for number in reversed(range(parts.count))]
        return parts.whole(found[::-1])


@pytest.fixture
def classes(job: Any) -> Trained:
    return Trained(job, "kind", 2)


@pytest.fixture
def prices(job: Any) -> Trained:
    return Trained(job, "price", 1, preprocess_target={"type": "standardize"})


@pytest.mark.parametrize("features", [False, True])
def test_permutation_importance(features: bool, classes: Trained) -> None:
    given = {name: np.array(COLUMNS[name]) for name in ("size", "weight")}
    expected = permutation_importance(classes.artifact, given, COLUMNS["kind"], repeats=3, seed=5, features=features)
    found = classes.ask(type="permutation_importance", repeats=3, seed=5, features=features)
    assert [(each["column"], each["feature"]) for each in found["columns"]] == [(each.column, each.feature) for each in expected]
    np.testing.assert_allclose([each["drops"] for each in found["columns"]], [each.drops for each in expected], atol=1e-12)
    assert (found["metric"], found["rows"]) == ("accuracy", 60)
    assert found["value"] > 0.8


def test_importance_is_in_the_unit_of_the_target(prices: Trained) -> None:
    found = prices.ask(type="permutation_importance", metric="mean_absolute_error", repeats=2)
    by_name = {each["column"]: each["mean"] for each in found["columns"]}
    assert found["value"] < 10_000 < by_name["size"]
    assert abs(by_name["weight"]) < 5_000


def test_slopes_and_activations(classes: Trained) -> None:
    inputs = classes.predictor.inputs(INPUTS)
    found = classes.ask(type="input_gradients", inputs=INPUTS, output="large")
    np.testing.assert_array_equal(found["gradients"], input_gradients(classes.artifact, inputs, 0))
    np.testing.assert_array_equal(found["inputs"], inputs)
    layers = classes.ask(type="layer_activations", inputs=INPUTS)["layers"]
    for each, expected in zip(layers, layer_activations(classes.artifact, inputs), strict=True):
        np.testing.assert_array_equal(each["activations"], expected)
    assert [each["layer"] for each in classes.ask(type="layer_activations", inputs=INPUTS, layers=[1])["layers"]] == [1]


def test_what_units_look_for(classes: Trained) -> None:
    found = classes.ask(type="maximal_input", layer=0, units=[2, [3]], bounds=[-1.0, 1.0], steps=20)
    for each, unit in zip(found["units"], (2, 3), strict=True):
        expected = maximal_input(classes.artifact, 0, unit, bounds=(-1.0, 1.0), steps=20)
        assert (each["inputs"], each["activation"]) == (expected.inputs.tolist(), expected.activation)


@pytest.mark.parametrize("decay", [999_999.0, 1e6])
def test_a_search_that_leaves_the_finite_numbers_is_told(decay: float, classes: Trained) -> None:
    parts = classes.parts(type="maximal_input", layer=1, units=[0], decay=decay, steps=1000)
    with pytest.raises(InvalidData) as caught:
        parts.part(0)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/rate", "overflow")]


@pytest.mark.parametrize("which", ["classes", "prices"])
def test_the_loss_around_the_parameters_is_that_of_training(which: str, request: pytest.FixtureRequest) -> None:
    trained: Trained = request.getfixturevalue(which)
    data = trained.trainer.data
    expected = data.labels if data.labels is not None else data.targets
    line = loss_along_line(trained.artifact, trained.loss, data.inputs, expected, points=5, seed=3)
    np.testing.assert_allclose(trained.ask(type="loss_line", points=5, seed=3)["losses"], line.losses)
    plane = loss_over_plane(trained.artifact, trained.loss, data.inputs, expected, points=3, seed=3)
    np.testing.assert_allclose(trained.ask(type="loss_plane", points=3, seed=3)["losses"], plane.losses)


def test_gradient_check(prices: Trained) -> None:
    data, rows = prices.trainer.data, np.linspace(0, 59, 16).astype(int)
    expected = gradient_check(
        prices.artifact.network, prices.loss, data.inputs[rows], data.targets[rows], parameters=prices.artifact.parameters, most_of_each=20
    )
    found = prices.ask(type="gradient_check")
    assert found["relative_error"] == pytest.approx(expected.relative_error)
    assert found["relative_error"] < 1e-6
    assert [each["name"] for each in found["parameters"]] == [each.name for each in expected.parameters]


@pytest.mark.parametrize(
    ("asked", "pointer", "code"),
    [
        ({"type": "input_gradients", "inputs": [[1, 2]]}, "/inputs", "wrong_type"),
        ({"type": "input_gradients", "inputs": {"size": [[0, 0]]}}, "/inputs/weight", "missing_input"),
        ({"type": "input_gradients", "inputs": {"size": [[0, 0]] * 1001, "weight": [0] * 1001}}, "/inputs", "too_many_rows"),
        ({"type": "input_gradients", "inputs": INPUTS, "output": "huge"}, "/output", "no_such_output"),
        ({"type": "layer_activations", "inputs": INPUTS, "layers": [7]}, "/layers", "no_such_layer"),
        ({"type": "permutation_importance", "metric": "r2"}, "/metric", "unfit_metric"),
    ],
)
def test_what_cannot_be_answered_is_told(asked: dict[str, Any], pointer: str, code: str, classes: Trained) -> None:
    with pytest.raises(InvalidData) as caught:
        classes.parts(**asked)
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [(pointer, code)]


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"size": [[0.5, 0.5]], "weight": [1.0]}, "no_such_column"),
        ({"size": [[0.5, 0.5]], "weight": [1.0], "kind": ["huge"]}, "no_such_label"),
        ({"size": [[0.5, 0.5]], "kind": ["large"]}, "missing_input"),
    ],
)
def test_rows_that_do_not_fit_are_told(columns: dict[str, Any], code: str, classes: Trained) -> None:
    with pytest.raises(InvalidData) as caught:
        classes.parts(read_columns(columns), type="permutation_importance")
    assert [fault.code for fault in caught.value.faults] == [code]


QUESTIONS: list[dict[str, Any]] = [
    {"type": "permutation_importance", "repeats": 2},
    {"type": "loss_line", "points": 3},
    {"type": "gradient_check"},
]


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: asked["type"])
@pytest.mark.parametrize("ignored", [-1, 1, 255])
def test_rows_that_training_ignored_count_nowhere(asked: dict[str, Any], ignored: int, job: Any) -> None:
    labels = [*[ignored] * 10, *(row % 3 for row in range(50))]
    counted = np.array(labels) != ignored
    columns: dict[str, Any] = {"x": RANDOM.random((60, 2)).round(3).tolist(), "y": labels}
    loss = {"type": "softmax_cross_entropy", "ignore_index": ignored}
    trainer = Trainer(*job(columns, target="y", network=[{"type": "dense", "units": 3}], loss=loss, epochs=2, seed=1, dtype="float64"))
    list(trainer.run())
    predictor, spec = Predictor(trainer.artifact()), Explain.model_validate(asked).root

    def answer(rows: np.ndarray) -> dict[str, Any]:
        sample = Sample.of(predictor, read_columns(columns), rows, of_rows(spec) or 0, trainer.spec.loss)
        parts = explanation(spec, predictor, trainer.spec.loss, sample)
        return parts.whole([parts.part(number) for number in range(parts.count)])

    assert answer(np.arange(60)) == answer(np.flatnonzero(counted))
    with pytest.raises(InvalidData, match="which the loss of training ignores"):
        answer(np.flatnonzero(~counted))


def test_an_ignored_label_of_a_column_of_text_is_the_class_of_that_number(job: Any) -> None:
    """Another dataset may hold other texts, in another order: it is the name that is ignored."""
    columns: dict[str, Any] = {"x": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "y": [*"abcabc"]}
    loss = {"type": "softmax_cross_entropy", "ignore_index": 1}
    trainer = Trainer(*job(columns, target="y", network=[{"type": "dense", "units": 3}], loss=loss, epochs=2, seed=1))
    list(trainer.run())
    predictor, other = Predictor(trainer.artifact()), {"x": [1.0, 2.0, 3.0, 4.0], "y": [*"cbbc"]}
    sample = Sample.of(predictor, read_columns(other), np.arange(4), 10, trainer.spec.loss)
    assert sample.columns[0].values.ravel().tolist() == [1.0, 4.0]


EVERY_QUESTION: list[dict[str, Any]] = [
    *QUESTIONS,
    {"type": "loss_plane", "points": 3},
    {"type": "input_gradients", "inputs": INPUTS},
    {"type": "layer_activations", "inputs": INPUTS},
    {"type": "maximal_input", "layer": 0, "units": [0], "steps": 1},
]


@pytest.mark.parametrize("asked", EVERY_QUESTION, ids=lambda asked: asked["type"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_answer_runs_no_kernel_but_those_that_are_known_to_be_needed(
    asked: dict[str, Any], dtype: str, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {name: COLUMNS[name] for name in ("size", "weight", "kind")}
    trainer = Trainer(*job(columns, target="kind", network=[*LAYERS, {"type": "dense", "units": 2}], epochs=1, seed=1, dtype=dtype))
    predictor, spec, loss = Predictor(trainer.artifact()), Explain.model_validate(asked).root, trainer.spec.loss
    needed = {(kernel, dtype) for dtype, kernels in kernels_needed(spec, trainer.artifact(), loss).items() for kernel in kernels}
    loaded, address = set(), Kernel.address

    def noted(self: Kernel, dtype: np.dtype[Any]) -> int:
        loaded.add((self, dtype.name))
        return address(self, dtype)

    monkeypatch.setattr(Kernel, "address", noted)
    most = of_rows(spec)
    sample = None if most is None else Sample.of(predictor, read_columns(columns), np.arange(60), most, loss)
    parts = explanation(spec, predictor, loss, sample)
    parts.whole([parts.part(number) for number in range(parts.count)])
    assert loaded <= needed
