"""Preprocessing steps: what they do to features, odd ones too, and that their fitted form is all that is needed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from nncore.preprocess import MinMax, Standardize, apply_steps, fitted_steps

features = arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.floats(-1e100, 1e100))


def fitted_and_applied(step, training):
    """The rows after the step, applied from its JSON."""
    saved = json.loads(json.dumps([step.fit(training).model_dump()]))
    rows = training.copy()
    apply_steps(saved, rows)
    return rows


def test_standardized_features_have_mean_0_and_deviation_1():
    rows = fitted_and_applied(Standardize(), np.random.default_rng(0).normal(1000, [1e-3, 1, 1e6], (500, 3)))
    assert np.allclose(rows.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(rows.std(axis=0), 1, rtol=1e-9)


def test_min_max_features_span_0_to_1_and_other_rows_may_lie_outside():
    fitted = MinMax().fit(np.array([[2.0, -1.0], [6.0, 0.0], [3.0, 1.0]]))
    assert fitted.model_dump() == {"type": "min_max", "minimum": [2.0, -1.0], "scale": [4.0, 2.0]}
    rows = np.array([[8.0, -2.0]])
    fitted.apply(rows)
    assert rows.tolist() == [[1.5, -0.5]]


@pytest.mark.parametrize("step", [Standardize(), MinMax()])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e-300, -7e99])
def test_a_feature_that_never_changes_becomes_0(step, constant):
    assert fitted_and_applied(step, np.full((7, 1), constant)).tolist() == [[0.0]] * 7


@given(features)
def test_no_finite_features_become_nan_or_infinite(training):
    for step in (Standardize(), MinMax()):
        assert np.isfinite(fitted_and_applied(step, training)).all()


@pytest.mark.oracle
def test_the_steps_are_those_of_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    training = np.random.default_rng(1).normal(5, 3, (40, 6))
    assert np.allclose(fitted_and_applied(Standardize(), training), preprocessing.StandardScaler().fit_transform(training), rtol=1e-12)
    assert np.allclose(fitted_and_applied(MinMax(), training), preprocessing.MinMaxScaler().fit_transform(training), rtol=1e-12)


@pytest.mark.parametrize(
    ("saved", "error"),
    [
        ([{"type": "standardize", "mean": [0.0], "scale": [1.0]}], ValueError),
        ([{"type": "standardize", "mean": [0.0, 0.0], "scale": [1.0]}], ValueError),
        ([{"type": "min_max", "minimum": [0.0, 0.0], "scale": [1.0, 0.0]}], ValidationError),
        ([{"type": "min_max", "minimum": [0.0, float("nan")], "scale": [1.0, 1.0]}], ValidationError),
        ([{"type": "eval", "code": "1"}], ValidationError),
    ],
)
def test_saved_steps_that_do_not_fit_are_refused(saved, error):
    with pytest.raises(error):
        fitted_steps(saved, 2)
