from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.data import TrainingData
from nncore.errors import InvalidData, InvalidSpec
from nncore.predictor import Predictor
from nncore.preprocess import preprocessing
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table import Column, Table
from nncore.trainer import Trainer

NAN = np.nan
RANDOM = np.random.default_rng(0)
GAPPY = np.where(RANDOM.random((40, 3)) < 0.3, NAN, RANDOM.integers(-3, 4, (40, 3)) / 2)
DENSE = {"layers": [{"type": "dense", "units": 1}]}


def prepared(values: np.ndarray, *steps: dict[str, Any], dtype: str = "float64", **spec: Any) -> tuple[Any, TrainingData, Table]:
    names = {"x": values} if values.ndim < 2 or "as_items" in spec else {f"x{at}": column for at, column in enumerate(values.T)}
    spec.pop("as_items", None)
    table = Table([*(Column(name, np.ascontiguousarray(each)) for name, each in names.items()), Column("y", np.arange(len(values)) / 7)])
    asked = {"target": "y", "network": DENSE, "dtype": dtype, "preprocess": list(steps), "seed": 3, **spec}
    resolved = resolve(TrainingSpec.model_validate(asked), table.info(), table.rows, Limits())
    return resolved, TrainingData.prepare(resolved, table), table


@pytest.mark.oracle
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("items", [{}, {"as_items": True}])
def test_it_is_the_simple_imputer_of_scikit_learn(strategy: str, items: dict[str, bool]) -> None:
    imputer = pytest.importorskip("sklearn.impute").SimpleImputer(strategy=strategy, fill_value=-7.5 if strategy == "constant" else None)
    _, data, _ = prepared(GAPPY, {"type": "impute", "strategy": strategy, "value": -7.5}, **items)
    np.testing.assert_allclose(data.inputs, imputer.fit_transform(GAPPY), rtol=1e-14)


@pytest.mark.oracle
def test_with_the_indicator_it_is_that_of_scikit_learn_too() -> None:
    imputer = pytest.importorskip("sklearn.impute").SimpleImputer(strategy="median", add_indicator=True)
    _, data, _ = prepared(GAPPY, {"type": "missing_indicator"}, {"type": "impute", "strategy": "median"})
    expected = imputer.fit_transform(GAPPY)
    np.testing.assert_allclose(data.inputs[:, ::2], expected[:, :3], rtol=1e-14)
    np.testing.assert_array_equal(data.inputs[:, 1::2], expected[:, 3:])


def test_it_is_fitted_on_the_training_rows_alone() -> None:
    _, data, _ = prepared(GAPPY, {"type": "impute"}, validation={"fraction": 0.4})
    fills = [data.preprocessing[0]["columns"][f"x{at}"]["fill"] for at in range(3)]
    np.testing.assert_allclose(np.ravel(fills), np.nanmean(GAPPY[data.training_rows], axis=0), rtol=1e-14)


def test_a_feature_that_no_training_row_has_becomes_the_value() -> None:
    values = np.array([NAN, NAN, NAN, 5.0])
    resolved, _, table = prepared(values, {"type": "impute", "value": 2.5}, validation={"fraction": 0.25})
    for seed in range(40):
        again = resolved.model_copy(update={"seed": seed})
        data = TrainingData.prepare(again, table)
        if data.validation_rows.tolist() == [3]:
            assert data.inputs.tolist() == [[2.5], [2.5], [2.5], [5.0]]
            return
    raise AssertionError("no seed held out the row with the number")


def test_steps_behind_it_see_no_gap() -> None:
    _, data, _ = prepared(GAPPY, {"type": "impute", "strategy": "mean"}, {"type": "standardize"})
    filled = np.where(np.isnan(GAPPY), np.nanmean(GAPPY, axis=0), GAPPY)
    np.testing.assert_allclose(data.inputs, (filled - filled.mean(axis=0)) / filled.std(axis=0), rtol=1e-12, atol=1e-14)
    _, categories, _ = prepared(
        np.array([1.0, NAN, 3.0, 1.0]),
        {"type": "impute", "strategy": "most_frequent"},
        {"type": "one_hot", "columns": ["x"], "categories": [1, 3]},
    )
    assert categories.inputs.tolist() == [[1, 0], [1, 0], [0, 1], [1, 0]]


def refused(values: np.ndarray, *steps: dict[str, Any], **spec: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(InvalidSpec) as caught:
        prepared(values, *steps, **spec)
    return {fault.pointer: (fault.code, fault.message) for fault in caught.value.faults}


def test_missing_numbers_that_nobody_fills_are_refused_with_the_remedy() -> None:
    code, message = refused(GAPPY, {"type": "impute", "columns": ["x0"]})["/inputs"]
    assert code == "missing_numbers"
    assert f'"x2": {np.isnan(GAPPY[:, 2]).sum()} of its numbers are missing; put impute into "preprocess"' in message
    for steps in ([{"type": "standardize"}, {"type": "impute"}], [{"type": "standardize", "columns": ["x0"]}]):
        found = refused(GAPPY, *steps)
        at = next(pointer for pointer in found if pointer.startswith("/preprocess/0"))
        assert "numbers are missing; put impute in front of it" in found[at][1]


def test_a_target_or_a_weight_that_is_missing_is_refused() -> None:
    assert refused(GAPPY, target="x0", inputs=["y"])["/target"][0] == "missing_numbers"
    assert refused(GAPPY, sample_weight="x0", inputs=["y"], target="x1")["/sample_weight"][0] == "missing_numbers"


@pytest.mark.parametrize("steps", [[{"type": "impute"}], [{"type": "missing_indicator"}, {"type": "impute"}]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_fill_gaps_as_training_did(steps: list[dict[str, Any]], dtype: str) -> None:
    values = GAPPY * 1.1
    resolved, data, _ = prepared(values, *steps, {"type": "standardize"}, dtype=dtype, metrics=["r2"], epochs=2, batch_size=40)
    trainer = Trainer(resolved, data)
    list(trainer.run())
    predictor = Predictor(trainer.artifact("last"))
    arrays = {f"x{at}": values[:, at] for at in range(3)}
    lists = {name: [None if np.isnan(each) else each for each in column.tolist()] for name, column in arrays.items()}
    for columns in (arrays, lists, arrays | {"x1": lists["x1"]}):
        assert predictor.predict(columns).outputs.tobytes() == trainer._evaluation._outputs.tobytes()
    alone = predictor.predict({"x0": [None], "x1": [None], "x2": [1.5]}).outputs
    assert np.isfinite(alone).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_beside_its_indicator_is_rounded_only_when_all_steps_are_done(dtype: str) -> None:
    times = 1.7e9 + np.arange(20.0)  # float32 holds every 128th
    times[3] = NAN
    steps = [{"type": "missing_indicator"}, {"type": "impute"}, {"type": "standardize"}]
    _, data, _ = prepared(times, *steps, dtype=dtype)
    _, alone, _ = prepared(times, *steps[1:], dtype=dtype)
    np.testing.assert_array_equal(data.inputs[:, :1], alone.inputs)
    assert len(np.unique(data.inputs[:, 0])) == 20


def test_a_fitted_indicator_that_says_no_dtype_rounds_to_float32_as_it_did() -> None:
    number = np.array([0.1, NAN])
    for said, expected in (({}, np.float32(0.1)), ({"dtype": "float64"}, 0.1)):
        kept = preprocessing([{"type": "missing_indicator", **said, "columns": {"x": {}}}], ["x"], [()])
        made = kept.prepared([Column("x", number)])(slice(None))
        np.testing.assert_array_equal(made, [[expected, 0], [NAN, 1]])


def test_a_prediction_may_miss_only_what_was_imputed() -> None:
    resolved, data, _ = prepared(np.where(np.arange(3) == 0, GAPPY, 1.0), {"type": "impute", "columns": ["x0"]}, epochs=1)
    trainer = Trainer(resolved, data)
    list(trainer.run())
    predictor = Predictor(trainer.artifact())
    for gap in ([None, 1.0], np.array([NAN, 1.0])):
        with pytest.raises(InvalidData) as caught:
            predictor.predict({"x0": [1.0, 1.0], "x1": gap, "x2": [1.0, 1.0]})
        assert next(fault.pointer for fault in caught.value.faults).startswith("/inputs/x1")
