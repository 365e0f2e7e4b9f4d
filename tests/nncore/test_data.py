"""Data as a trainer takes it: laid out, split, preprocessed from its training rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.data import Fitted, TrainingData
from nncore.errors import InvalidData
from nncore.preprocess import preprocessing
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, resolve
from nncore.table import Column, Table
from nncore.table.json import read_columns

COLUMNS = {
    "a": [1.0, 2.0, 3.0, 4.0, 5.0],
    "pair": [[10, 11], [20, 21], [30, 31], [40, 41], [50, 51]],
    "bit": [0, 1, 1, 0, 1],
    "kind": ["u", "v", "w", "u", "v"],
}


def spec_for(table: Table, units: int, **fields: Any) -> ResolvedSpec:
    asked = {"network": {"layers": [{"type": "dense", "units": units}]}, "seed": 1, **fields}
    return resolve(TrainingSpec.model_validate(asked), table.info(), table.rows, Limits())


def prepared(units: int = 1, columns: dict[str, Any] = COLUMNS, **fields: Any) -> TrainingData:
    table = read_columns(columns)
    return TrainingData.prepare(spec_for(table, units, **fields), table)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_lie_side_by_side_in_the_order_of_the_spec(dtype):
    data = prepared(inputs=["pair", "a"], target="bit", dtype=dtype)
    assert data.inputs.tolist() == [[10, 11, 1], [20, 21, 2], [30, 31, 3], [40, 41, 4], [50, 51, 5]]
    assert (data.inputs.dtype, data.inputs.flags.c_contiguous) == (np.dtype(dtype), True)
    assert (data.targets.tolist(), data.targets.dtype, data.labels) == ([[0], [1], [1], [0], [1]], np.dtype(dtype), None)


def test_many_columns_lie_where_few_would():
    random = np.random.default_rng(0)
    values = [random.normal(size=(7, *shape)) for shape in [()] * 20 + [(3,), (17, 2), (), (40,)]]
    table = Table([*(Column(f"c{at}", column) for at, column in enumerate(values)), Column("y", np.arange(7.0))])
    data = TrainingData.prepare(spec_for(table, 1, target="y", dtype="float64"), table)
    assert np.array_equal(data.inputs, np.concatenate([column.reshape(7, -1) for column in values], axis=1))


def test_classes_become_labels():
    data = prepared(3, inputs=["a"], target="kind")
    assert (data.labels.tolist(), data.labels.dtype, data.targets) == ([0, 1, 2, 0, 1], np.int64, None)


def test_without_validation_every_row_is_trained_on():
    data = prepared(inputs=["a"], target="bit")
    assert (data.training_rows.tolist(), data.validation_rows.tolist()) == ([0, 1, 2, 3, 4], [])


def test_preprocessing_knows_only_the_training_rows():
    columns = {"a": [float(row) for row in range(20)], "y": [row % 2 for row in range(20)]}
    data = prepared(columns=columns, target="y", validation={"fraction": 0.3}, preprocess=[{"type": "standardize"}], dtype="float64")
    training = np.array(columns["a"])[data.training_rows]
    (fitted,) = data.preprocessing
    numbers = {"offset": [pytest.approx(training.mean())], "scale": [pytest.approx(training.std())]}
    assert fitted == {"type": "standardize", "columns": {"a": numbers}}
    assert np.allclose(data.inputs[:, 0], (np.array(columns["a"]) - training.mean()) / training.std())

    changed = dict(columns, a=[1e6 if row in data.validation_rows else value for row, value in enumerate(columns["a"])])
    again = prepared(columns=changed, target="y", validation={"fraction": 0.3}, preprocess=[{"type": "standardize"}], dtype="float64")
    assert again.preprocessing == data.preprocessing


def test_steps_follow_one_another_and_are_applied_alike_to_new_rows():
    random = np.random.default_rng(4)
    table = Table([Column("x", random.normal(3, 5, (50, 20))), Column("y", random.normal(size=50))])
    spec = spec_for(table, 1, target="y", preprocess=[{"type": "standardize"}, {"type": "min_max"}], validation={}, dtype="float64")
    data = TrainingData.prepare(spec, table)
    assert data.inputs[data.training_rows].min() == 0
    assert data.inputs[data.training_rows].max() == 1
    rows = preprocessing(data.preprocessing, ["x"], [(20,)]).prepared([table["x"]])
    assert np.array_equal(rows(slice(None)), data.inputs)


def test_seconds_since_1970_keep_their_seconds_in_float32():
    times = [1_700_000_000 + second for second in range(10)]
    data = prepared(columns={"time": times, "y": [0.5] * 10}, target="y", preprocess=[{"type": "min_max"}])
    assert np.allclose(data.inputs[:, 0], np.arange(10) / 9, atol=1e-7)


def test_inputs_that_overflow_once_they_are_preprocessed_are_refused():
    columns = {"a": [1.0, 2.0, 3e38, 4.0], "y": [0.5, 1, 2, 3]}
    with pytest.raises(InvalidData, match="row 3: its preprocessed inputs overflow float32"):
        prepared(columns=columns, target="y", preprocess=[{"type": "image_scale", "scale": 0.1}])


def test_the_table_is_only_read():
    table = read_columns(COLUMNS)
    for column in table.columns:
        column.values.flags.writeable = False
    data = TrainingData.prepare(spec_for(table, 1, inputs=["a"], target="bit", preprocess=[{"type": "standardize"}]), table)
    data.inputs[:] = 0
    assert table["a"].values.tolist() == COLUMNS["a"]


def test_the_same_seed_holds_out_the_same_rows_and_another_seed_others():
    columns = {"a": list(range(100)), "y": [row / 7 for row in range(100)]}
    one, two, other = (prepared(columns=columns, target="y", validation={}, seed=seed) for seed in (1, 1, 2))
    assert one.validation_rows.tolist() == two.validation_rows.tolist() != other.validation_rows.tolist()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"a": COLUMNS["a"]}, "no_such_column"),
        ({"a": COLUMNS["a"][:4], "kind": COLUMNS["kind"][:4]}, "wrong_rows"),
        ({"a": COLUMNS["pair"], "kind": COLUMNS["kind"]}, "wrong_inputs"),
        ({"a": COLUMNS["a"], "kind": list("uvwxy")}, "label_outside_classes"),
    ],
)
def test_a_table_the_spec_was_not_resolved_for_is_refused(changed, code):
    spec = spec_for(read_columns(COLUMNS), 3, inputs=["a"], target="kind")
    with pytest.raises(InvalidData) as caught:
        TrainingData.prepare(spec, read_columns(changed))
    assert [fault.code for fault in caught.value.faults] == [code]


STEPS = [{"type": "standardize", "columns": ["a", "pair"]}, {"type": "one_hot", "columns": ["kind"]}, {"type": "min_max", "columns": ["a"]}]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_preprocessing_that_is_kept_makes_the_very_numbers_that_it_was_fitted_with(dtype):
    asked = {"inputs": ["a", "kind", "pair"], "target": "bit", "preprocess": STEPS, "dtype": dtype, "validation": {"fraction": 0.4}}
    fitted = prepared(**asked)
    table = read_columns(COLUMNS)
    again = TrainingData.prepare(spec_for(table, 1, **asked), table, Fitted(fitted.preprocessing, None))
    assert again.inputs.tobytes() == fitted.inputs.tobytes()
    assert again.preprocessing == fitted.preprocessing


def test_kept_preprocessing_is_applied_to_other_data_as_it_is():
    fitted = prepared(inputs=["a"], target="bit", preprocess=[{"type": "standardize"}])
    table = read_columns({"a": [103.0, 3.0], "bit": [0, 1]})
    kept = Fitted(fitted.preprocessing, None)
    data = TrainingData.prepare(spec_for(table, 1, inputs=["a"], target="bit", preprocess=[{"type": "standardize"}]), table, kept)
    assert data.inputs[1] == 0
    assert data.inputs[0] == pytest.approx(100 / np.std(COLUMNS["a"]))


def test_the_kept_scale_of_a_target_is_applied():
    scaled = {"inputs": ["bit"], "target": "a", "preprocess_target": {"type": "min_max"}}
    fitted = prepared(**scaled)
    table = read_columns({"a": [9.0, 1.0], "bit": [0, 1]})
    data = TrainingData.prepare(spec_for(table, 1, **scaled), table, Fitted([], fitted.target_preprocessing))
    assert data.targets.tolist() == [[2.0], [0.0]]
    assert data.target_preprocessing == fitted.target_preprocessing


def test_labels_are_places_in_the_classes_of_the_spec():
    spec = spec_for(read_columns(COLUMNS), 3, inputs=["a"], target="kind")
    fewer = read_columns({"a": [1.0] * 5, "kind": ["w", "u", "w", "u", "u"]})
    assert TrainingData.prepare(spec, fewer).labels.tolist() == [2, 0, 2, 0, 0]
    other = read_columns({"a": [1.0] * 5, "kind": ["w", "u", "x", "u", "u"]})
    with pytest.raises(InvalidData, match='"x", which is none of the classes'):
        TrainingData.prepare(spec, other)
