"""What a trained network is worth: the scores are those of its answers, the inputs that decide come first, the data is looked at."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
import pytest

from nncore import assessment
from nncore.assessment import Assessment, assess
from nncore.data import TrainingData
from nncore.explain import permutation_importance
from nncore.predictor import Predictor
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, resolve
from nncore.table import Table
from nncore.table.json import read_columns
from nncore.trainer import Trainer

ROWS = 120
random = np.random.default_rng(2)
X, NOISE = random.normal(size=(2, ROWS))
TABLE = read_columns(
    {
        "noise": NOISE.tolist(),
        "kind": [f"k{row % 3}" for row in range(ROWS)],
        "x": X.tolist(),
        "flat": [1.0] * ROWS,
        "pair": np.stack([NOISE[::-1], X], axis=1).tolist(),
        "who": [f"p{row // 5}" for row in range(ROWS)],
        "label": ["yes" if value > 0 else "no" for value in X],
        "size": (3 * X + 1).tolist(),
    }
)
SPEC: dict[str, Any] = {
    "inputs": ["noise", "kind", "x"],
    "target": "label",
    "network": {"layers": [{"type": "dense", "units": 2}]},
    "preprocess": [{"type": "one_hot"}, {"type": "standardize"}],
    "optimizer": {"type": "adam", "learning_rate": 0.1},
    "epochs": 10,
    "seed": 5,
    "group": "who",
    "validation": {"fraction": 0.3},
    "test": {"fraction": 0.2},
}


def assessed(table: Table = TABLE, **fields: Any) -> tuple[ResolvedSpec, TrainingData, Trainer, Assessment]:
    asked = TrainingSpec.model_validate({**SPEC, **fields})
    spec = resolve(asked, table.info(), table.rows, Limits(), values=lambda name: table[name].values)
    trainer = Trainer(spec, TrainingData.prepare(spec, table))
    list(trainer.run())
    return spec, trainer.data, trainer, assess(spec, trainer.data, table, trainer.artifact())


def raw(spec: ResolvedSpec, rows: np.ndarray) -> dict[str, Any]:
    columns = {name: TABLE[name] for name in spec.inputs}
    return {
        name: column.values[rows] if column.categories is None else [column.categories[code] for code in column.values[rows]]
        for name, column in columns.items()
    }


def test_the_scores_are_those_of_the_answers() -> None:
    spec, data, trainer, found = assessed()
    assert [part.of for part in found.parts] == ["validation", "test"]
    for part, rows in zip(found.parts, (data.validation_rows, data.test_rows), strict=True):
        answers = Predictor(trainer.artifact()).predict(raw(spec, rows)).labels
        assert answers is not None
        wanted = np.array([TABLE["label"].categories[code] for code in TABLE["label"].values[rows]])  # type: ignore[index]
        right = answers == wanted
        assert (part.score.rows, part.score.metrics["accuracy"]) == (len(rows), pytest.approx(right.mean()))
        assert sum(part.score.tables["per_class"]["support"]) == len(rows)
        who = np.array(TABLE["who"].categories)[TABLE["who"].values[rows]]
        assert {group.value for group in part.groups} == set(who)
        for group in part.groups:
            assert group.score.metrics["accuracy"] == pytest.approx(right[who == group.value].mean())
    assert found.parts[0].score.loss == pytest.approx(trainer.best.validation_loss, rel=1e-5)  # type: ignore[union-attr]


def test_the_input_that_decides_comes_first_and_is_worth_what_dealing_its_raw_values_costs() -> None:
    spec, data, trainer, found = assessed()
    assert found.influences[0].column == "x"
    rows = data.validation_rows
    dealt = permutation_importance(trainer.artifact(), raw(spec, rows), TABLE["label"].values[rows], repeats=3, seed=spec.seed)
    assert {each.column: each.metric_drop for each in found.influences} == {each.column: pytest.approx(each.mean) for each in dealt}
    assert (found.influences_left_out, found.dealt_rows, found.metric) == (0, len(rows), "accuracy")


def test_the_features_of_an_array_are_told_apart() -> None:
    _, _, _, found = assessed(inputs=["pair", "noise"], preprocess=[], target="size", network={"layers": [{"type": "dense", "units": 1}]})
    first = found.influences[0]
    assert (first.column, first.feature, found.metric) == ("pair", 1, "r2")
    assert {(each.column, each.feature) for each in found.influences} == {("pair", 0), ("pair", 1), ("noise", None)}
    assert first.metric_drop > 0.5


def test_what_is_wrong_with_the_data_is_told_with_it() -> None:
    *_, found = assessed(inputs=["x", "flat"], preprocess=[], validation={"fraction": 0.3}, group=None, test=None)
    assert [finding.code for finding in found.findings] == ["giveaway_column", "constant_column"]
    assert found.audited_rows == ROWS


def test_without_held_out_rows_the_training_rows_are_judged() -> None:
    *_, found = assessed(validation=None, test=None, group=None)
    assert [(part.of, part.score.rows, part.groups) for part in found.parts] == [("training", ROWS, [])]


def test_it_is_bounded_and_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MOST_GROUPS": 2, "DEALT_ROWS": 10, "DEALT_SECONDS": -1.0, "MOST_AUDITED_NUMBERS": 100}.items():
        monkeypatch.setattr(assessment, name, value)
    looked: list[int] = []
    spec, data, trainer, whole = assessed()
    found = assess(spec, data, TABLE, trainer.artifact(), lambda: looked.append(1))
    validation = found.parts[0]
    assert len(validation.groups) == 2
    assert validation.groups_left_out + 2 == len(set(TABLE["who"].values[data.validation_rows]))
    assert (found.dealt_rows, found.influences, found.influences_left_out) == (10, [], 3)
    assert found.audited_rows == 100 // 5
    assert looked
    assert asdict(found) == asdict(whole)


def test_it_is_json() -> None:
    *_, found = assessed()
    assert orjson.loads(orjson.dumps(asdict(found)))["metric"] == "accuracy"
