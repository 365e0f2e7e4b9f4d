"""Products of few rows, beside numpy's."""

from __future__ import annotations

import os
import subprocess
import sys

import llvmlite.binding
import numpy as np
import pytest

from nncore.machine.kernels import WIDE
from nncore.machine.products import FEW_ROWS, FEW_UNITS, product_with_transposed, transposed_product


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 10, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("units", [1, 2, 5, 30, FEW_UNITS + 1])
@pytest.mark.parametrize("inputs", [1, 7, 64, 785])
def test_they_are_what_numpy_says(rows, units, inputs, dtype):
    random = np.random.default_rng(rows)
    x, weight, delta = (random.standard_normal(shape).astype(dtype) for shape in ((rows, inputs), (units, inputs), (rows, units)))
    y, gradient = np.full((rows, units), np.nan, dtype), np.full((units, inputs), np.nan, dtype)

    product_with_transposed(x, weight, y)
    transposed_product(delta, x, gradient)

    for found, left, right in ((y, x, weight.T), (gradient, delta.T, x)):
        left, right = left.astype(float), right.astype(float)
        bound = left.shape[1] * np.finfo(dtype).eps * (np.abs(left) @ np.abs(right))
        assert (np.abs(found - left @ right) <= bound).all()


@pytest.mark.parametrize("rows", [3, FEW_ROWS + 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_comes_out_where_it_came_in(rows, bad):
    x, weight = np.ones((rows, 9), np.float32), np.ones((5, 9), np.float32)
    x[1, 4] = bad
    y, gradient = np.empty((rows, 5), np.float32), np.empty((5, 9), np.float32)
    product_with_transposed(x, weight, y)
    transposed_product(np.ones((rows, 5), np.float32), x, gradient)
    assert [bool(finite) for finite in np.isfinite(y).all(axis=1)] == [row != 1 for row in range(rows)]
    assert [bool(finite) for finite in np.isfinite(gradient).all(axis=0)] == [column != 4 for column in range(9)]


@pytest.mark.parametrize("product", [product_with_transposed, transposed_product])
def test_numbers_of_32_bits_stay_so(product):
    matrix = np.ones((2, 2), np.float32)
    product(matrix, matrix, matrix.copy())
    (machine_code,) = (code for signature, code in product.inspect_llvm().items() if "float32" in str(signature))
    assert "fpext" not in machine_code


@pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get(WIDE), reason="the processor has no vectors of 512 bits")
@pytest.mark.parametrize("product", [product_with_transposed, transposed_product])
def test_the_widest_vectors_are_used(product):
    """The compiler by itself takes half of them on Intel's processors, and a step of a small network takes a third longer."""
    matrix = np.ones((2, 2), np.float32)
    product(matrix, matrix, matrix.copy())
    (machine_code,) = (code for signature, code in product.inspect_asm().items() if "float32" in str(signature))
    assert "zmm" in machine_code


@pytest.mark.parametrize("chosen", ["NUMBA_ENABLE_AVX=0", "NUMBA_CPU_NAME=generic", "NUMBA_CPU_FEATURES=+sse2"])
def test_what_a_user_chose_of_the_processor_stays(chosen):
    name, value = chosen.split("=")
    code = "import numba; before = numba.config.CPU_FEATURES; import nncore.machine; print(numba.config.CPU_FEATURES == before)"
    printed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, name: value}, capture_output=True, text=True, timeout=60, check=True
    )
    assert printed.stdout.strip() == "True"
