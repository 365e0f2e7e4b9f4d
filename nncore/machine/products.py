"""Matrix products of few rows, for which BLAS packs its operands: that takes longer than the products themselves."""

from __future__ import annotations

import numpy as np

from nncore.machine.kernels import Array, jit

FEW_ROWS = 32  # forward up to 10 times as quick as OpenBLAS at 2 rows, 3 at 10, 1.2 at 32
FEW_UNITS = 32  # up to here the weight's gradient is, too: 1.1 to 1.7 times


@jit
def product_with_transposed(x: Array, weight: Array, y: Array) -> None:
    """y = x W^T, with x (rows, inputs) and W (units, inputs), without memory of its own."""
    if 1 < x.shape[0] <= FEW_ROWS:
        _of_few_rows(x, weight, y)
    else:
        np.dot(x, weight.T, y)


@jit
def _of_few_rows(x: Array, weight: Array, y: Array) -> None:
    """Eight sums at a time, of two rows and four units: what is loaded is used more than once, and the sums stay in registers.

    Where rows or units run out, the last is done again.
    """
    rows, units, zero = x.shape[0], weight.shape[0], x.dtype.type(0)
    for j in range(0, units, 4):
        j1, j2, j3 = min(j + 1, units - 1), min(j + 2, units - 1), min(j + 3, units - 1)
        for i in range(0, rows, 2):
            i1 = min(i + 1, rows - 1)
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
            for k in range(x.shape[1]):
                a, b, w0, w1, w2, w3 = x[i, k], x[i1, k], weight[j, k], weight[j1, k], weight[j2, k], weight[j3, k]
                a0 += w0 * a
                a1 += w1 * a
                a2 += w2 * a
                a3 += w3 * a
                b0 += w0 * b
                b1 += w1 * b
                b2 += w2 * b
                b3 += w3 * b
            y[i, j], y[i, j1], y[i, j2], y[i, j3] = a0, a1, a2, a3
            y[i1, j], y[i1, j1], y[i1, j2], y[i1, j3] = b0, b1, b2, b3


@jit
def transposed_product(delta: Array, x: Array, gradient: Array) -> None:
    """gradient = delta^T x, with delta (rows, units) and x (rows, inputs), without memory of its own."""
    if 1 < delta.shape[0] <= FEW_ROWS and delta.shape[1] <= FEW_UNITS:
        _of_few_units(delta, x, gradient)
    else:
        np.dot(delta.T, x, gradient)


@jit
def _of_few_units(delta: Array, x: Array, gradient: Array) -> None:
    """The gradients of two units at a time, to which four rows are added at a time."""
    (rows, units), zero = delta.shape, x.dtype.type(0)
    in_fours, paired = rows - rows % 4, units - units % 2
    for j in range(0, paired, 2):
        for k in range(x.shape[1]):
            gradient[j, k] = zero
            gradient[j + 1, k] = zero
        for i in range(0, in_fours, 4):
            a0, a1, a2, a3 = delta[i, j], delta[i + 1, j], delta[i + 2, j], delta[i + 3, j]
            b0, b1, b2, b3 = delta[i, j + 1], delta[i + 1, j + 1], delta[i + 2, j + 1], delta[i + 3, j + 1]
            for k in range(x.shape[1]):
                x0, x1, x2, x3 = x[i, k], x[i + 1, k], x[i + 2, k], x[i + 3, k]
                gradient[j, k] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                gradient[j + 1, k] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        for i in range(in_fours, rows):
            a0, b0 = delta[i, j], delta[i, j + 1]
            for k in range(x.shape[1]):
                gradient[j, k] += a0 * x[i, k]
                gradient[j + 1, k] += b0 * x[i, k]
    if paired < units:
        for k in range(x.shape[1]):
            gradient[paired, k] = zero
        for i in range(rows):
            a0 = delta[i, paired]
            for k in range(x.shape[1]):
                gradient[paired, k] += a0 * x[i, k]
