"""Rows divided into training, validation and test: what is promised, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nncore.data import TrainingData
from nncore.errors import InvalidSpec
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, resolve
from nncore.table.json import read_columns

PEOPLE = read_columns(
    {
        "a": list(range(20)),
        "who": [f"p{row // 4}" for row in range(20)],
        "set": ["train"] * 12 + ["validation"] * 5 + ["test"] * 3,
        "odd": ["train", "later"] * 10,
        "late": ["test", "validation"] * 10,
        "pair": [[1, 2]] * 20,
        "label": ["yes", "no"] * 10,
    }
)
WAYS: list[dict[str, Any]] = [
    {"validation": {"fraction": 0.3}, "test": {"fraction": 0.2}},
    {"validation": {"fraction": 0.3}, "test": {"fraction": 0.2}, "group": "who"},
    {"fold": {"of": 3, "number": 2}},
    {"fold": {"of": 3, "number": 2}, "test": {}, "group": "who"},
    {"split_column": "set"},
]


def divided(**fields: Any) -> ResolvedSpec:
    asked = {"inputs": ["a"], "target": "label", "network": {"layers": [{"type": "dense", "units": 2}]}, "seed": 3, **fields}
    return resolve(TrainingSpec.model_validate(asked), PEOPLE.info(), PEOPLE.rows, Limits(), values=lambda name: PEOPLE[name].values)


@pytest.mark.parametrize("way", WAYS)
def test_the_sizes_of_every_division_are_promised_before_the_data_is_prepared(way: dict[str, Any]) -> None:
    spec = divided(**way)
    data = TrainingData.prepare(ResolvedSpec.model_validate(spec.model_dump(mode="json")), PEOPLE)
    found = [len(part) for part in (data.training_rows, data.validation_rows, data.test_rows)]
    assert found == [spec.sizes.training_rows, spec.sizes.validation_rows, spec.sizes.test_rows]
    assert sum(found) == 20
    assert min(found[:2]) > 0
    scaled = TrainingData.prepare(divided(**way, preprocess=[{"type": "standardize"}]), PEOPLE)
    assert scaled.inputs[scaled.training_rows].mean() == pytest.approx(0, abs=1e-6), "fitted on these rows alone"


def test_columns_that_divide_rows_are_no_inputs_unless_named() -> None:
    assert divided(inputs=None, group="who", split_column="set", preprocess=[{"type": "one_hot"}]).inputs == ["a", "odd", "late", "pair"]


DIVISION_FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"group": "whom", "validation": {}}, "/group", 'no column "whom"'),
    ({"group": "label", "validation": {}}, "/group", "is the target"),
    ({"group": "a", "validation": {}}, "/group", "is an input"),
    ({"group": "pair", "validation": {}}, "/group", "a row belongs to one group"),
    ({"group": "who", "fold": {"of": 6, "number": 0}}, "/group", "5 groups cannot be dealt to 6 parts"),
    ({"split_column": "a"}, "/split_column", "is an input"),
    ({"split_column": "pair"}, "/split_column", "holds numbers"),
    ({"split_column": "odd"}, "/split_column", 'says "later"'),
    ({"split_column": "late"}, "/split_column", "none is left to train on"),
    ({"split_column": "set", "validation": {}}, "/validation", "says by itself"),
    ({"split_column": "set", "test": {}}, "/test", "says by itself"),
    ({"fold": {"of": 3, "number": 0}, "validation": {}}, "/fold", "in place of validation"),
    ({"fold": {"of": 3, "number": 3}}, "/fold/number", "at most 2"),
    ({"fold": {"of": 21, "number": 3}}, "/fold/of", "20 rows cannot be dealt to 21 folds"),
    ({"test": {"fraction": 0.5}, "validation": {"fraction": 0.5}}, "/validation/fraction", "beside 10 for the test"),
    ({"test": {"fraction": 0.99}}, "/test/fraction", "leaves none to train on"),
    (
        {"target": "a", "inputs": ["pair"], "network": {"layers": [{"type": "dense", "units": 1}]}, "test": {"stratified": True}},
        "/test/stratified",
        "by classes only",
    ),
]


@pytest.mark.parametrize(("fields", "pointer", "message"), DIVISION_FAULTS)
def test_a_division_that_cannot_be_is_refused_by_name(fields: dict[str, Any], pointer: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        divided(**fields)
    found = {fault.pointer: fault.message for fault in caught.value.faults}
    assert message in found[pointer]
