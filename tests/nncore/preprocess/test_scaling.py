"""Steps that scale: what they do to features, odd ones too, and that their fitted form is all that is needed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from nncore.preprocess import ImageScale, MinMax, Standardize, fit_and_apply, preprocessing
from nncore.table import Column

features = arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.floats(-1e100, 1e100))
NAMED = {"columns": ["x"]}


def fitted_and_applied(step: Any, training: np.ndarray) -> np.ndarray:
    """The rows after the step, applied from its JSON; that they are the same in training is asserted."""
    column, inputs = Column("x", training), np.empty((len(training), training[0].size))
    saved = json.loads(json.dumps(fit_and_apply(inputs, [column], [step], np.arange(len(training)))))
    rows = preprocessing(saved, ["x"], [column.item_shape]).prepared([column])(slice(None))
    assert np.array_equal(rows, inputs)
    return rows


def test_standardized_features_have_mean_0_and_deviation_1():
    rows = fitted_and_applied(Standardize(**NAMED), np.random.default_rng(0).normal(1000, [1e-3, 1, 1e6], (500, 3)))
    assert np.allclose(rows.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(rows.std(axis=0), 1, rtol=1e-9)


def test_min_max_features_span_0_to_1_and_other_rows_may_lie_outside():
    training = np.array([[2.0, -1.0], [6.0, 0.0], [3.0, 1.0], [8.0, -2.0]])
    inputs = np.empty((4, 2))
    (fitted,) = fit_and_apply(inputs, [Column("x", training)], [MinMax(**NAMED)], np.arange(3))
    assert fitted == {"type": "min_max", "columns": {"x": {"offset": [2.0, -1.0], "scale": [4.0, 2.0]}}}
    assert inputs[3].tolist() == [1.5, -0.5]


@pytest.mark.parametrize("step", [Standardize(**NAMED), MinMax(**NAMED)])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e-300, -7e99])
def test_a_feature_that_never_changes_becomes_0(step, constant):
    assert fitted_and_applied(step, np.full((7, 1), constant)).tolist() == [[0.0]] * 7


@given(features)
def test_no_finite_features_become_nan_or_infinite(training):
    for step in (Standardize(**NAMED), MinMax(**NAMED)):
        assert np.isfinite(fitted_and_applied(step, training)).all()


@pytest.mark.oracle
def test_the_steps_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.preprocessing")
    training = np.random.default_rng(1).normal(5, 3, (40, 6))
    assert np.allclose(fitted_and_applied(Standardize(**NAMED), training), sklearn.StandardScaler().fit_transform(training), rtol=1e-12)
    assert np.allclose(fitted_and_applied(MinMax(**NAMED), training), sklearn.MinMaxScaler().fit_transform(training), rtol=1e-12)


PICTURES = np.random.default_rng(2).integers(0, 256, (5, 3, 4, 6)).astype(np.float64)


def test_pictures_go_from_0_to_1():
    assert np.array_equal(fitted_and_applied(ImageScale(**NAMED), PICTURES), PICTURES.reshape(5, -1) / 255)
    assert np.array_equal(fitted_and_applied(ImageScale(offset=128, scale=2, **NAMED), PICTURES), PICTURES.reshape(5, -1) / 2 - 64)


@pytest.mark.oracle
def test_channels_are_normalised_as_by_torchvision():
    """ToTensor divides by 255, Normalize takes (x - mean) / deviation of every channel."""
    torch = pytest.importorskip("torch")
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    tensor = torch.tensor(PICTURES) / 255
    expected = (tensor - torch.tensor(mean, dtype=torch.float64).view(3, 1, 1)) / torch.tensor(deviation, dtype=torch.float64).view(3, 1, 1)
    step = ImageScale(mean=mean, deviation=deviation, **NAMED)
    np.testing.assert_allclose(fitted_and_applied(step, PICTURES), expected.numpy().reshape(5, -1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("saved", "error"),
    [
        ([{"type": "standardize", "columns": {"x": {"offset": [0.0], "scale": [1.0]}}}], ValueError),
        ([{"type": "standardize", "columns": {"x": {"offset": [0.0, 0.0], "scale": [1.0]}}}], ValueError),
        ([{"type": "standardize", "columns": {"z": {"offset": [0.0, 0.0], "scale": [1.0, 1.0]}}}], ValueError),
        ([{"type": "min_max", "columns": {"x": {"offset": [0.0, 0.0], "scale": [1.0, 0.0]}}}], ValidationError),
        ([{"type": "min_max", "columns": {"x": {"offset": [0.0, float("nan")], "scale": [1.0, 1.0]}}}], ValidationError),
        ([{"type": "eval", "code": "1"}], ValidationError),
    ],
)
def test_saved_steps_that_do_not_fit_are_refused(saved, error):
    with pytest.raises(error):
        preprocessing(saved, ["x"], [(2,)])
