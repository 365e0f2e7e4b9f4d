from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore.errors import InvalidData
from nncore.predictor import Predictor
from nncore.preprocess import OneHot
from nncore.trainer import Trainer

KINDS = {"kind": ["dog", "cat", "cow", "dog", "cat", "dog"]}
NUMBERS = {"rooms": [3, 1, 4, 1, 3, 3]}
ONE_HOT = {"type": "one_hot"}


def test_each_category_has_a_feature_in_sorted_order(preprocessed: Any) -> None:
    found = preprocessed(KINDS, ONE_HOT)
    assert found.inputs.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert found.fitted == [{"type": "one_hot", "unknown": "zeros", "columns": {"kind": {"categories": ["cat", "cow", "dog"]}}}]


def test_whole_numbers_have_a_feature_each_from_the_least_to_the_largest(preprocessed: Any) -> None:
    found = preprocessed(NUMBERS, {"type": "one_hot", "columns": ["rooms"]})
    assert found.inputs.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    assert found.fitted[0]["columns"]["rooms"]["categories"] == [1, None, 3, 4]


@pytest.mark.oracle
@pytest.mark.parametrize("categories", [None, ["dog", "cow"]])
def test_it_is_that_of_scikit_learn(categories: Any, preprocessed: Any) -> None:
    sklearn = pytest.importorskip("sklearn.preprocessing")
    random = np.random.default_rng(0)
    columns = {name: random.choice(["cat", "cow", "dog"], 50).tolist() for name in ("one", "two")}
    given = "auto" if categories is None else [categories, categories]
    encoder = sklearn.OneHotEncoder(categories=given, handle_unknown="ignore", sparse_output=False)
    expected = encoder.fit_transform(np.transpose([columns["one"], columns["two"]]))
    assert np.array_equal(preprocessed(columns, ONE_HOT | {"categories": categories}).inputs, expected)


@pytest.mark.parametrize("columns", [{"kind": [*"abcdefghij", "a"]}, {"kind": [*range(10), 0]}])
def test_a_category_that_no_training_row_has_stays_0(columns: Any, preprocessed: Any) -> None:
    found = preprocessed(columns, {"type": "one_hot", "columns": ["kind"]}, validation={"fraction": 0.4})
    held_out = {columns["kind"][row] for row in found.data.validation_rows} - {columns["kind"][row] for row in found.data.training_rows}
    assert len(held_out) >= 3
    categories = found.fitted[0]["columns"]["kind"]["categories"]
    assert categories.count(None) == len(held_out)
    assert found.inputs.shape == (11, 10)
    assert found.inputs.sum(axis=1).tolist() == [float(kind not in held_out) for kind in columns["kind"]]


def predictor(job: Any, columns: Any, **step: Any) -> Predictor:
    name = next(iter(columns))
    table = columns | {"y": [0.0, 1.0, 2.0, 0.0, 1.0, 0.5]}
    preprocess = [{"type": "one_hot", "columns": [name], **step}]
    trainer = Trainer(*job(table, target="y", network=[{"type": "dense", "units": 1}], preprocess=preprocess, epochs=2, seed=1))
    list(trainer.run())
    return Predictor(trainer.artifact())


@pytest.mark.parametrize(("columns", "known", "unknown"), [(KINDS, "dog", "emu"), (NUMBERS, 3, 2), (NUMBERS, 3, 2.5)])
def test_an_unknown_category_is_all_zeros_or_refused_as_was_asked(job: Any, columns: Any, known: Any, unknown: Any) -> None:
    (name,) = columns
    answer = predictor(job, columns).predict({name: [known, unknown]})
    assert answer.outputs[0] != answer.outputs[1]
    with pytest.raises(InvalidData) as refused:
        predictor(job, columns, unknown="refuse").predict({name: [known, known, unknown]})
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.code) == (f"/inputs/{name}/2", "unknown_category")
    assert 'train with "unknown": "zeros"' in fault.message


def test_a_prediction_says_what_it_was_sent_instead_of_text(job: Any) -> None:
    for columns, sent, code in ((KINDS, [1.0], "number_input"), (NUMBERS, ["one"], "text_input")):
        (name,) = columns
        with pytest.raises(InvalidData) as refused:
            predictor(job, columns).predict({name: sent})
        assert [fault.code for fault in refused.value.faults] == [code]


@pytest.mark.parametrize(
    ("columns", "step", "said"),
    [
        ({"x": [0.5, 1.0]}, {}, "of single whole numbers"),
        ({"x": [[1, 2], [3, 4]]}, {}, "of single whole numbers"),
        ({"x": [0, 1000]}, {}, "give the categories"),
        ({"x": [0, 1]}, {"categories": ["a"]}, "its categories are texts"),
        ({"x": ["a", "b"]}, {"categories": [1]}, "its categories are numbers"),
    ],
)
def test_columns_without_categories_are_refused(columns: Any, step: Any, said: str, refused: Any) -> None:
    assert said in refused(columns, {"type": "one_hot", "columns": ["x"], **step})["/preprocess/0/columns/0"][1]


def test_many_whole_numbers_fit_where_the_categories_are_given(preprocessed: Any) -> None:
    found = preprocessed({"zip": [10115, 99998, 20095, 10115]}, {"type": "one_hot", "columns": ["zip"], "categories": [20095, 10115]})
    assert found.inputs.tolist() == [[0, 1], [0, 0], [1, 0], [0, 1]]


def test_a_category_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match='the category "a" stands twice'):
        OneHot(categories=["a", "b", "a"])
