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
from nncore.machine.kernels import INTERPRETED, jit, kernel_signature, view

compiled_only = pytest.mark.skipif(INTERPRETED, reason="kernels are not compiled under NUMBA_DISABLE_JIT")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("code", range(5))
def test_every_activation_that_trains_lets_nan_pass(code: int, dtype: str) -> None:
    y = np.full((4, 9), 0.5, dtype)
    y[2, 3] = np.nan
    activate(code, y)
    assert np.isnan(y[2, 3])


def _sum_and_mark(flat: np.ndarray, at: int, rows: int, width: int) -> tuple[float, Any]:
    part, total = view(flat, at, rows, width), 0.0
    behind = view(part, 1, rows * width - 1)
    for i in range(behind.size):
        total += behind[i] * (i + 1)
    part[rows - 1, 0] = -1.0
    return total, part.shape


def test_a_view_is_the_memory_itself_wherever_it_starts() -> None:
    numbers = [np.arange(12.0), np.arange(12.0)]
    answers = [function(each, 3, 2, 4) for function, each in zip((_sum_and_mark, jit(_sum_and_mark)), numbers, strict=True)]
    assert answers == [(sum((4.0 + i) * (i + 1) for i in range(7)), (2, 4))] * 2
    for each in numbers:
        np.testing.assert_array_equal(each, [0, 1, 2, 3, 4, 5, 6, -1, 8, 9, 10, 11])


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
    tests = Path(__file__).parent.parent / "test_gradients.py"
    layers = "dense or flatten or dropout-0 or residual-0 or parallel-0 or lstm-3 or gru-3 or rnn-3"
    layers += " or average or global or norm or embedding or sequence"
    chosen = f"central and ({layers} or activation-tanh or -first or activation-silu)"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rp", str(tests), "-k", chosen]
    result = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("PASSED") >= 30
