"""Kernels: small compiled functions with one signature, `kernel(op, arena, integers)`, and what they share.

`op` is a tuple of FIELDS integers, one row of the plan: places in the arena, and sizes. `arena` is one flat array of everything that is
a float. `integers` holds the number of the step, the seed, how many rows the batch has, and its labels. A kernel takes its own row apart
and checks no bounds: what it is given has been checked before.

Rules for kernels, each learned from a measurement:
- `one = arena.dtype.type(1)`, never a literal 1.0, `2 * x`, `x / n`: float32 would go through float64 (2 to 18 times slower).
- Index views (`view`) by the loop variable, never `arena[at + i]`: that index might be negative, so it is not vectorised (7 times).
- Sum into a local, not into an element. Selects instead of and / or / not.
- A NaN must come out as a NaN: `zero if x < zero else x`, not `x if x > zero else zero`. The loop sees divergence by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

from nncore.machine.cache import cache_folder, compiling_alone

FIELDS = 16
RATE, ROOT_SCALE, SCALARS = 0, 1, 16  # the first numbers of the arena change from step to step
STEP, SEED, ROWS, VERDICT, HEADER = 0, 1, 2, 3, 8  # the first numbers of `integers`

# Without nnan and ninf: with them the compiler may take every number for finite, and isfinite finds nothing.
FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}
EXACT = {"contract", "nsz"}  # where the order of operations is the point

INTERPRETED = bool(numba.config.DISABLE_JIT)  # NUMBA_DISABLE_JIT=1: kernels are plain Python, 5,000 times slower

_interpreted: dict[int, Callable[..., None]] = {}  # where an "address" is the id of a Python function


def jit(function: Callable[..., Any], *, fastmath: set[str] | bool = FAST, cached: bool = True) -> Any:
    """Compile lazily, without the GIL; `cached`: kept on disk in our own folder."""
    compiled = numba.njit(function, fastmath=fastmath, nogil=True, error_model="numpy")
    if cached and not INTERPRETED:
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(cache_folder())
        try:
            compiled.enable_caching()
        finally:
            numba.config.CACHE_DIR = before
    return compiled


class Kernel:
    """A kernel, compiled once for every dtype it is used with, and called by its address."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.name = f"{function.__module__}.{function.__name__}"
        self.function = jit(function)
        self._addresses: dict[np.dtype[Any], int] = {}

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"

    def address(self, dtype: np.dtype[Any]) -> int:
        """Where its machine code for arenas of `dtype` lies; compiled, or loaded from the disk cache, when it is asked for first."""
        found = self._addresses.get(dtype)
        if found is None:
            found = self._addresses[dtype] = self._compile(dtype)
        return found

    def _compile(self, dtype: np.dtype[Any]) -> int:
        if INTERPRETED:
            _interpreted[id(self.function)] = self.function
            return id(self.function)
        with compiling_alone():
            result = self.function.get_compile_result(kernel_signature(dtype))
        return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))


kernel = Kernel  # as a decorator


def kernel_signature(dtype: np.dtype[Any]) -> Any:
    return types.void(types.UniTuple(types.int64, FIELDS), numba.from_dtype(np.dtype(dtype))[::1], types.int64[::1])


@numba.njit
def view(flat, at, *shape):
    """The array of this shape that starts at `at`."""
    size = 1
    for length in shape:
        size *= length
    return flat[at : at + size].reshape(shape)


def exponential(x):
    """e^x, within about 1 (float32) or 2 (float64) units in the last place; neither 0 nor infinite for any x. NaN stays NaN."""
    kind = x.dtype.type
    low, high = (kind(-87.3), kind(88.3)) if kind is np.float32 else (kind(-708.0), kind(709.0))
    return x if x != x else np.exp(min(max(x, low), high))


@overload(exponential, jit_options={"fastmath": EXACT, "error_model": "numpy"}, inline="never")
def _exponential(x):
    """Polynomials that the compiler can vectorise: numba calls the C library for each element, 15 times slower in float32.

    x = n ln 2 + r with |r| <= ln 2 / 2, and e^x = 2^n e^r; ln 2 is in two parts so that r is exact. 2^n goes into the exponent's bits.
    Reassociation would undo the two parts. Source: Cephes, expf and exp (S. Moshier).
    """
    if x == types.float32:
        f = np.float32
        low, high, log2e, magic = f(-87.3), f(88.3), f(1.44269504), f(12582912.0)  # magic = 1.5 * 2^23: adding it rounds to whole numbers
        ln2_high, ln2_low, half, one, shift = f(0.693359375), f(-2.12194440e-4), f(0.5), f(1), np.int32(23)
        c0, c1, c2, c3, c4 = f(1.9875691500e-4), f(1.3981999507e-3), f(8.3334519073e-3), f(4.1665795894e-2), f(1.6666665459e-1)

        def exponential_float32(x):
            bounded = min(max(x, low), high)
            rounded = bounded * log2e + magic
            n = rounded - magic
            r = bounded - n * ln2_high - n * ln2_low
            p = (((((c0 * r + c1) * r + c2) * r + c3) * r + c4) * r + half) * r * r + r + one
            bits = np.int32(np.float32(p).view(np.int32)) + np.int32(np.int32(np.float32(rounded).view(np.int32)) << shift)
            y = np.int32(bits).view(np.float32)
            return x if x != x else y

        return exponential_float32
    if x == types.float64:
        low, high, log2e, magic = -708.0, 709.0, 1.4426950408889634073599, 6755399441055744.0  # magic = 1.5 * 2^52
        ln2_high, ln2_low = 6.93145751953125e-1, 1.42860682030941723212e-6
        p0, p1, p2 = 1.26177193074810590878e-4, 3.02994407707441961300e-2, 9.99999999999999999910e-1
        q0, q1, q2, q3 = 3.00198505138664455042e-6, 2.52448340349684104192e-3, 2.27265548208155028766e-1, 2.0

        def exponential_float64(x):
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

        return exponential_float64
    return None


def tangent(x):
    """tanh(x), within 2 units in the last place."""
    return np.tanh(x)


@overload(tangent, jit_options={"fastmath": EXACT, "error_model": "numpy"}, inline="never")
def _tangent(x):
    """A polynomial near 0, where 1 - 2 / (e^2x + 1) would lose its digits; that formula elsewhere. Source: Cephes, tanhf and tanh."""
    if x == types.float32:
        f = np.float32
        near, zero, one, two = f(0.625), f(0), f(1), f(2)
        c0, c1, c2, c3, c4 = f(-5.70498872745e-3), f(2.06390887954e-2), f(-5.37397155531e-2), f(1.33314422036e-1), f(-3.33332819422e-1)

        def tangent_float32(x):
            s, size = x * x, np.abs(x)
            small = ((((c0 * s + c1) * s + c2) * s + c3) * s + c4) * s * x + x
            large = one - two / (exponential(size + size) + one)
            return small if size < near else (-large if x < zero else large)

        return tangent_float32
    if x == types.float64:
        p0, p1, p2 = -9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3
        q0, q1, q2 = 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3

        def tangent_float64(x):
            s, size = x * x, abs(x)
            small = x + x * s * (((p0 * s + p1) * s + p2) / (((s + q0) * s + q1) * s + q2))
            large = 1.0 - 2.0 / (exponential(size + size) + 1.0)
            return small if size < 0.625 else (-large if x < 0.0 else large)

        return tangent_float64
    return None
