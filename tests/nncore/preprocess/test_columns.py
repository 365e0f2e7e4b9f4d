"""Steps work on the columns they name, or on all they can; what they make of shapes is known before the data is read."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from nncore.data import TrainingData
from nncore.errors import InvalidSpec
from nncore.preprocess import BagOfWords, Standardize, fit_and_apply
from nncore.preprocess.routes import route_of
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table import Column
from nncore.table.json import read_columns

ROWS = {
    "age": [20.0, 30.0, 40.0, 50.0],
    "pair": [[1, 10], [2, 20], [3, 30], [4, 40]],
    "kind": ["b", "a", "b", "c"],
    "size": [0, 1, 2, 3],
}
STANDARDIZE, ONE_HOT = {"type": "standardize"}, {"type": "one_hot"}
Refused = Any


def test_a_step_changes_only_the_columns_it_names(preprocessed: Any) -> None:
    found = preprocessed(ROWS, {"type": "min_max", "columns": ["pair"]}, inputs=["age", "pair", "size"])
    thirds = [0, 1 / 3, 2 / 3, 1]
    np.testing.assert_allclose(found.inputs, np.transpose([ROWS["age"], thirds, thirds, ROWS["size"]]))


def test_without_names_it_works_on_all_it_can_as_they_stand_there(preprocessed: Any) -> None:
    before = preprocessed(ROWS, STANDARDIZE, ONE_HOT)
    assert [step.columns for step in before.spec.preprocess] == [["age", "pair", "size"], ["kind"]]
    assert before.inputs[:, 3:6].tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    behind = preprocessed(ROWS, ONE_HOT, STANDARDIZE)
    assert [step.columns for step in behind.spec.preprocess] == [["kind"], ["age", "pair", "kind", "size"]]
    np.testing.assert_allclose(behind.inputs.mean(axis=0), 0, atol=1e-15)


def test_columns_of_different_routes_lie_in_the_order_of_the_inputs(preprocessed: Any) -> None:
    order = ["kind", "size", "age", "pair"]
    found = preprocessed(ROWS, {"type": "min_max", "columns": ["age"]}, ONE_HOT, inputs=order)
    assert found.inputs[1].tolist() == [1, 0, 0, 1, pytest.approx(1 / 3), 2, 20]


def test_a_step_behind_a_maker_is_fitted_to_the_training_rows_of_what_was_made(preprocessed: Any) -> None:
    columns = {"kind": [*"abcabcabcaaaaaaabbbb"]}
    found = preprocessed(columns, ONE_HOT, STANDARDIZE, validation={"fraction": 0.3})
    training = np.array([[letter == kind for kind in "abc"] for letter in columns["kind"]], dtype=float)[found.data.training_rows]
    numbers = found.fitted[1]["columns"]["kind"]
    np.testing.assert_allclose(numbers["offset"], training.mean(axis=0))
    np.testing.assert_allclose(numbers["scale"], training.std(axis=0))


def test_only_columns_that_go_in_are_looked_at(preprocessed: Any) -> None:
    assert preprocessed(ROWS, STANDARDIZE, inputs=["age"]).inputs.shape == (4, 1)


def test_every_fault_is_named_with_its_place(refused: Refused) -> None:
    steps = [
        {"type": "standardize", "columns": ["agee", "kind", "age", "age"]},
        {"type": "one_hot", "columns": ["age"]},
        {"type": "bag_of_words", "columns": ["pair"]},
        {"type": "log_mel", "sample_rate": 8000, "columns": ["pair"]},
        {"type": "image_scale", "mean": [0.5], "columns": ["pair"]},
    ]
    columns = ROWS | {"age": [20.5, 30.0, 40.0, 50.0]}
    found = refused(columns, *steps)
    assert {at: code for at, (code, _) in found.items()} == {
        "/preprocess/0/columns/0": "no_such_input",
        "/preprocess/0/columns/1": "unfit_column",
        "/preprocess/0/columns/3": "duplicate_column",
        "/preprocess/1/columns/0": "unfit_column",
        "/preprocess/2/columns/0": "unfit_column",
        "/preprocess/3/columns/0": "unfit_column",
        "/preprocess/4/columns/0": "unfit_column",
        "/inputs": "text_input",
    }
    assert 'Did you mean "age"?' in found["/preprocess/0/columns/0"][1]
    assert "put one_hot or bag_of_words in front of it" in found["/preprocess/0/columns/1"][1]
    assert "a window is of 400 samples, and an item only of 2 samples" in found["/preprocess/3/columns/0"][1]


def test_a_step_that_finds_nothing_to_do_is_refused(refused: Refused) -> None:
    code, message = refused(ROWS, ONE_HOT, inputs=["age"])["/preprocess/0"]
    assert code == "no_column"
    assert 'name its "columns", or leave the step out' in message


def test_two_steps_that_would_make_features_of_one_column_are_refused(refused: Refused) -> None:
    steps = [ONE_HOT, {"type": "one_hot", "columns": ["kind"], "categories": ["a"]}]
    assert refused(ROWS, *steps, inputs=["kind"])["/preprocess/1/columns/0"][0] == "unfit_column"
    with pytest.raises(ValueError, match="made twice"):
        route_of("x", [BagOfWords(columns=["x"])] * 2)


def test_memory_of_what_is_made_is_counted_before_anything_is() -> None:
    table = read_columns({"text": ["some words"] * 300, "y": [0, 1, 2] * 100})
    network = {"layers": [{"type": "dense", "units": 1}]}
    steps = [{"type": "bag_of_words", "size": 2**20}]
    spec = TrainingSpec.model_validate({"target": "y", "network": network, "preprocess": steps, "batch_size": 1})
    with pytest.raises(InvalidSpec, match="300 rows of data"):
        resolve(spec, table.info(), table.rows, Limits(max_memory_bytes=2**30))
    assert resolve(spec, table.info(), table.rows, Limits()).sizes.memory_bytes > 300 * 2**20 * 4


def test_beside_the_inputs_little_memory_is_taken() -> None:
    """Texts of 4,096 features: in float64, or twice, they would not fit."""
    texts = [f"word{row % 50} other{row % 7}" for row in range(20_000)]
    columns = {"text": texts, "y": [row % 2 for row in range(len(texts))]}
    steps = [{"type": "bag_of_words", "size": 4096}, STANDARDIZE]
    network = {"layers": [{"type": "dense", "units": 1}]}
    table = read_columns(columns)
    spec = TrainingSpec.model_validate({"target": "y", "network": network, "preprocess": steps})
    resolved = resolve(spec, table.info(), table.rows, Limits())
    tracemalloc.start()
    data = TrainingData.prepare(resolved, table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < data.inputs.nbytes * 1.15
    assert data.inputs.nbytes == 4096 * 20_000 * 4


def test_features_that_do_not_come_to_what_was_resolved_are_refused() -> None:
    column, step = Column("x", np.ones((3, 2))), Standardize(columns=["x"])
    for width in (1, 3):
        with pytest.raises(ValueError, match="the preprocessed columns have"):
            fit_and_apply(np.empty((3, width)), [column], [step], np.arange(3))
