from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from nncore.activations import activate
from nncore.machine.compilation import known_kernels
from nncore.machine.kernels import INTERPRETED, exponential, kernel_signature, tangent

compiled_only = pytest.mark.skipif(INTERPRETED, reason="kernels are not compiled under NUMBA_DISABLE_JIT")


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("code", range(5))
def test_every_activation_that_trains_lets_nan_pass(code: int, dtype: str) -> None:
    y = np.full((4, 9), 0.5, dtype)
    y[2, 3] = np.nan
    activate(code, y)
    assert np.isnan(y[2, 3])


@compiled_only
@pytest.mark.parametrize("kernel", known_kernels(), ids=repr)
def test_a_float32_kernel_never_goes_through_float64(kernel: Any) -> None:
    signature = kernel_signature(np.dtype("float32"))
    kernel.address(np.dtype("float32"))
    llvm = _llvm_of(kernel, signature)
    assert "float" in llvm
    assert "fpext" not in llvm


def _llvm_of(kernel: Any, signature: Any) -> str:
    """Compiled anew: what came from the disk cache keeps no LLVM."""
    fresh = numba.njit(kernel.function.py_func, **{name: kernel.function.targetoptions[name] for name in ("fastmath", "error_model")})
    fresh.compile(signature)
    return str(fresh.inspect_llvm(fresh.signatures[0]))


@pytest.mark.parametrize("kernel", known_kernels(), ids=repr)
def test_every_kernel_has_the_one_signature(kernel: Any) -> None:
    function = getattr(kernel.function, "py_func", kernel.function)
    assert list(inspect.signature(function).parameters) == ["op", "arena", "integers"]


def test_kernels_run_as_plain_python_too() -> None:
    """The gradient checks of every layer, at their tiny sizes, without the compiler."""
    tests, chosen = Path(__file__).parent.parent / "test_gradients.py", "central and (dense or flatten or dropout-0 or activation-tanh)"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rp", str(tests), "-k", chosen]
    result = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("PASSED") == 15
