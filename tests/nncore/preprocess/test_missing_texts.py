"""Texts that are missing: a category of their own, in training, in predictions and in what is written for elsewhere."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from nncore.data import TrainingData
from nncore.errors import InvalidSpec
from nncore.formats.python import features
from nncore.predictor import Predictor
from nncore.preprocess import Item
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table import Column, Table
from nncore.table.csv import read_csv
from nncore.table.json import read_columns
from nncore.table.missing import EVERY_COLUMN
from nncore.table.profile import profile
from nncore.trainer import Trainer

COLUMNS: dict[str, list[Any]] = {
    "plan": ["free", None, "paid", None, "free", "paid"],
    "note": ["good film", "", None, "bad", "good", "bad film"],
    "y": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0],
}
STEPS = [{"type": "one_hot", "columns": ["plan"]}, {"type": "bag_of_words", "columns": ["note"], "size": 16}]


def table() -> Table:
    return read_columns(COLUMNS, may_miss=EVERY_COLUMN)


def resolved(**told: Any) -> Any:
    found = table()
    network = {"layers": [{"type": "dense", "units": 1}]}
    spec = {"target": "y", "network": network, "preprocess": STEPS, "seed": 1, "epochs": 1, **told}
    values = {column.name: column.values for column in found.columns}
    return resolve(TrainingSpec.model_validate(spec), found.info(), found.rows, Limits(), values=values.__getitem__)


def test_one_hot_gives_them_a_feature_and_bag_of_words_zeros() -> None:
    data = TrainingData.prepare(resolved(), table())
    assert data.inputs[:, :3].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert (np.abs(data.inputs[:, 3:]).sum(axis=1) > 0).tolist() == [True, False, False, True, True, True]


def test_a_prediction_may_miss_them_as_training_did() -> None:
    trainer = Trainer(spec := resolved(), TrainingData.prepare(spec, table()))
    list(trainer.run())
    predictor = Predictor(trainer.artifact("last"))
    expected = predictor.answers(predictor.taken(table())).outputs
    for gap in (None, ""):
        lists = {name: [cell or gap for cell in COLUMNS[name]] for name in ("plan", "note")}
        assert predictor.predict(lists).outputs.tolist() == expected.tolist()
    assert predictor.predict({"plan": [None], "note": [None]}).outputs.tolist() == [expected[1].tolist()], "also where no row has one"
    numbers = Table([Column("plan", np.array([np.nan, 7])), Column("note", np.array([0, 0]), ("bad",))])
    assert predictor.taken(numbers)[0].categories == ("", "7"), "a file of which every plan looks like a number"


def test_texts_true_and_false_are_known_in_a_file_that_holds_them_as_truths() -> None:
    columns = {"plan": ["True", "False", "True", "False"], "y": [1, 2, 3, 4]}
    found, steps = read_columns(columns), [{"type": "one_hot"}]
    spec = {
        "target": "y",
        "network": {"layers": [{"type": "dense", "units": 1}]},
        "preprocess": steps,
        "loss": {"type": "mean_squared_error"},
    }
    trainer = Trainer(
        told := resolve(TrainingSpec.model_validate(spec), found.info(), found.rows, Limits()), TrainingData.prepare(told, found)
    )
    list(trainer.run())
    predictor = Predictor(trainer.artifact("last"))
    of_file = predictor.taken(read_csv(io.BytesIO(b"plan,y\nTrue,1\nfalse,2\n")))[0]
    assert [(of_file.categories or ())[code] for code in of_file.values] == ["True", "False"]


def test_a_script_takes_none_for_the_empty_text() -> None:
    assert features.one_hot([None, "", "x", "z"], ["", "x"], False).tolist() == [[1, 0], [1, 0], [0, 1], [0, 0]]
    assert features.bag_of_words([None, "bad"], 4, True, True).any(axis=1).tolist() == [False, True]


@pytest.mark.parametrize(("place", "told"), [("target", {"inputs": ["note"], "loss": None}), ("group", {}), ("split_column", {})])
def test_a_target_a_group_or_a_side_that_is_missing_is_refused_with_its_row(place: str, told: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec) as refused:
        resolved(**{"preprocess": STEPS[1:], place: "plan", **told})
    (fault,) = [fault for fault in refused.value.faults if fault.pointer == f"/{place}"]
    assert fault.code == "missing_texts"
    assert fault.message.startswith('the column "plan" misses 2 texts (the first in row 2), but every row has to have ')
    assert fault.message.endswith("; fill it in, or leave such rows out")


def test_a_profile_counts_them_and_shows_the_others() -> None:
    plan, note, _ = profile(table())
    assert (plan["missing"], plan["distinct"], note["missing"]) == (2, 2, 2)
    assert plan["values"] == [{"value": "free", "count": 2}, {"value": "paid", "count": 2}]


def test_no_step_has_to_fill_them() -> None:
    assert not Item.of(table()["plan"].info()).missing
