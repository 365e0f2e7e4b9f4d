"""e^x and tanh(x) for kernels, as polynomials that the compiler can vectorise; and what must keep its order of operations.

numba calls the C library for each element, 15 times slower in float32. Source of the polynomials: Cephes, expf, exp, tanhf and tanh
(S. Moshier). Under NUMBA_DISABLE_JIT they are numpy's.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

ORDERED: Any = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}  # reassociation would undo ln 2 in two parts


def _ordered(function: Any) -> Any:
    """Compiled as it is called first, its operations in the order that is written."""
    return numba.njit(function, **ORDERED)


def exponential(x: Any) -> Any:
    """e^x, within about 1 (float32) or 2 (float64) units in the last place; neither 0 nor infinite for any x. NaN stays NaN."""
    kind = x.dtype.type
    low, high = (-87.3, 88.3) if kind is np.float32 else (-708.0, 709.0)
    return x if x != x else np.exp(min(max(x, kind(low)), kind(high)))


def tangent(x: Any) -> Any:
    """tanh(x), within 2 units in the last place. NaN stays NaN."""
    return np.tanh(x)


@_ordered
def log_probability(z: Any, top: Any, log_total: Any) -> Any:
    """The logarithm of what softmax makes of z. top: the largest logit. log_total: the logarithm of the sum of all e^(z - top).

    The logits are subtracted first: top + log_total would lose the digits of the logarithm where logits are large.
    """
    return (z - top) - log_total


@overload(exponential, jit_options=ORDERED)
def _exponential(x: Any) -> Any:
    """x = n ln 2 + r with |r| <= ln 2 / 2, and e^x = 2^n e^r: n goes into the bits of the exponent. ln 2 is in two parts: r is exact."""
    return {types.float32: _exponential_float32, types.float64: _exponential_float64}[x]()


def _exponential_float32() -> Any:
    f = np.float32
    low, high, log2e, magic = f(-87.3), f(88.3), f(1.44269504), f(12582912.0)  # magic = 1.5 * 2^23: adding it rounds to whole numbers
    ln2_high, ln2_low, half, one, shift = f(0.693359375), f(-2.12194440e-4), f(0.5), f(1), np.int32(23)
    c0, c1, c2, c3, c4 = f(1.9875691500e-4), f(1.3981999507e-3), f(8.3334519073e-3), f(4.1665795894e-2), f(1.6666665459e-1)

    def evaluate(x: Any) -> Any:
        bounded = min(max(x, low), high)
        rounded = bounded * log2e + magic
        n = rounded - magic
        r = bounded - n * ln2_high - n * ln2_low
        p = (((((c0 * r + c1) * r + c2) * r + c3) * r + c4) * r + half) * r * r + r + one
        bits = np.int32(np.float32(p).view(np.int32)) + np.int32(np.int32(np.float32(rounded).view(np.int32)) << shift)
        y = np.int32(bits).view(np.float32)
        return x if x != x else y

    return evaluate


def _exponential_float64() -> Any:
    low, high, log2e, magic = -708.0, 709.0, 1.4426950408889634073599, 6755399441055744.0  # magic = 1.5 * 2^52
    ln2_high, ln2_low = 6.93145751953125e-1, 1.42860682030941723212e-6
    p0, p1, p2 = 1.26177193074810590878e-4, 3.02994407707441961300e-2, 9.99999999999999999910e-1
    q0, q1, q2, q3 = 3.00198505138664455042e-6, 2.52448340349684104192e-3, 2.27265548208155028766e-1, 2.0

    def evaluate(x: Any) -> Any:
        bounded = min(max(x, low), high)
        rounded = bounded * log2e + magic
        n = rounded - magic
        r = bounded - n * ln2_high - n * ln2_low
        s = r * r
        p = r * ((p0 * s + p1) * s + p2)
        q = ((q0 * s + q1) * s + q2) * s + q3
        bits = np.float64(1.0 + 2.0 * (p / (q - p))).view(np.int64) + (np.float64(rounded).view(np.int64) << 52)
        y = np.int64(bits).view(np.float64)
        return x if x != x else y

    return evaluate


@overload(tangent, jit_options=ORDERED)
def _tangent(x: Any) -> Any:
    """A polynomial near 0, where 1 - 2 / (e^2x + 1) would lose its digits; that formula elsewhere."""
    return {types.float32: _tangent_float32, types.float64: _tangent_float64}[x]()


def _tangent_float32() -> Any:
    f = np.float32
    near, zero, one, two = f(0.625), f(0), f(1), f(2)
    c0, c1, c2, c3, c4 = f(-5.70498872745e-3), f(2.06390887954e-2), f(-5.37397155531e-2), f(1.33314422036e-1), f(-3.33332819422e-1)

    def evaluate(x: Any) -> Any:
        s, size = x * x, np.abs(x)
        small = ((((c0 * s + c1) * s + c2) * s + c3) * s + c4) * s * x + x
        large = one - two / (exponential(size + size) + one)
        return small if size < near else (-large if x < zero else large)

    return evaluate


def _tangent_float64() -> Any:
    p0, p1, p2 = -9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3
    q0, q1, q2 = 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3

    def evaluate(x: Any) -> Any:
        s, size = x * x, abs(x)
        small = x + x * s * (((p0 * s + p1) * s + p2) / (((s + q0) * s + q1) * s + q2))
        large = 1.0 - 2.0 / (exponential(size + size) + 1.0)
        return small if size < 0.625 else (-large if x < 0.0 else large)

    return evaluate
