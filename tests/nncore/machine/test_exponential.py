from __future__ import annotations

import numba
import numpy as np
import pytest

from nncore.machine.exponential import exponential, tangent


@numba.njit
def exponentials(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(x.size):
        y[i] = exponential(x[i])


@numba.njit
def tangents(x: np.ndarray, y: np.ndarray) -> None:
    for i in range(x.size):
        y[i] = tangent(x[i])


def units_in_the_last_place(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest error, in spacings of the exact result rounded to the dtype."""
    rounded = exact.astype(found.dtype)
    return float(np.max(np.abs(found.astype(np.longdouble) - exact) / np.abs(np.spacing(rounded)).astype(np.longdouble)))


def spread(low: float, high: float, dtype: str) -> np.ndarray:
    random = np.random.default_rng(5)
    near_zero = np.exp(random.uniform(-20, 0, 20_000)) * random.choice([-1, 1], 20_000)
    return np.concatenate([random.uniform(low, high, 200_000), near_zero, [0.0, 0.625, -0.625]]).astype(dtype)


@pytest.mark.parametrize(("dtype", "low", "high", "units"), [("float32", -87, 88, 1.1), ("float64", -700, 709, 2)])
def test_the_exponential_is_within_two_units_in_the_last_place(dtype: str, low: float, high: float, units: float) -> None:
    x = spread(low, high, dtype)
    y = np.empty_like(x)
    exponentials(x, y)
    assert units_in_the_last_place(y, np.exp(x.astype(np.longdouble))) <= units


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_hyperbolic_tangent_is_within_two_units_in_the_last_place(dtype: str) -> None:
    x = spread(-12, 12, dtype)
    y = np.empty_like(x)
    tangents(x, y)
    assert units_in_the_last_place(y, np.tanh(x.astype(np.longdouble))) <= 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_away_nothing_overflows_and_nan_stays_nan(dtype: str) -> None:
    x = np.array([-np.inf, -1e30, 1e30, np.inf, np.nan], dtype)
    y, z = np.empty_like(x), np.empty_like(x)
    exponentials(x, y)
    tangents(x, z)
    assert np.isfinite(y[:4]).all()
    assert y[0] < 1e-37
    assert y[2] > 1e38
    np.testing.assert_array_equal(z, np.array([-1, -1, 1, 1, np.nan], dtype))
    assert np.isnan(y[4])
