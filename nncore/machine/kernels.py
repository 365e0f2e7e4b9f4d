"""Kernels: small compiled functions with one signature, `kernel(op, arena, integers)`, and what makes them: the decorator and `view`.

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
from math import prod
from operator import attrgetter
from typing import Any, TypeAlias

import llvmlite.binding
import numba
import numpy as np
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic, overload
from numba.np import arrayobj

from nncore.machine.cache import cache_folder, compiling_alone

Array: TypeAlias = np.ndarray
Op: TypeAlias = tuple[int, ...]
"""A row of the plan without its kernel: FIELDS integers."""

FIELDS = 16
RATE, ROOT_SCALE, DECAY, SCALARS = 0, 1, 2, 16  # the first numbers of the arena change from step to step
COUNT = SCALARS - 1  # what the mean loss of the batch is divided by: its rows, unless the loss says otherwise
STEP, SEED, ROWS, VERDICT, FIRST_ROW, HEADER = 0, 1, 2, 3, 4, 8  # the first numbers of `integers`; FIRST_ROW: of the batch, in its step

ROWS_AT_ONCE = 1024
"""Sums over the rows of a batch are made of sums of so many: one after the other, a million rows lose the third digit in float32."""

# Without nnan and ninf: with them the compiler may take every number for finite, and isfinite finds nothing.
FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}

_config: Any = numba.config
INTERPRETED = bool(_config.DISABLE_JIT)  # NUMBA_DISABLE_JIT=1: kernels are plain Python, 5,000 times slower

WIDE = "avx512f"


def _use_wide_vectors() -> None:
    """Let the compiler use all 512 bits where the processor has them: products of few rows take two thirds of the time.

    By itself it takes 256 on Intel's, which once slowed down while wider units ran. BLAS, which the same loops call, uses them anyway.
    """
    features = llvmlite.binding.get_host_cpu_features()
    chosen = _config.CPU_FEATURES or _config.CPU_NAME or not _config.ENABLE_AVX  # by the user
    if not chosen and features.get(WIDE):
        _config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


_use_wide_vectors()  # before anything is compiled

_interpreted: dict[int, Callable[..., None]] = {}  # where an "address" is the id of a Python function


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Compiled when it is called first, without the GIL; for what kernels call."""
    return numba.njit(function, fastmath=FAST, nogil=True, error_model="numpy", **options)


def jit_on_disk(function: Callable[..., Any], **options: Any) -> Any:
    """The same, kept in our own folder of compiled kernels."""
    compiled = jit(function, **options)
    if not INTERPRETED:
        before, _config.CACHE_DIR = _config.CACHE_DIR, str(cache_folder())
        try:
            compiled.enable_caching()
        finally:
            _config.CACHE_DIR = before
    return compiled


def compile_result(compiled: Any, signature: Any) -> Any:
    """numba's result for one signature: compiled, or loaded from the disk."""
    with compiling_alone(f"{compiled.__module__}.{compiled.__name__}"):
        try:
            return compiled.get_compile_result(signature)
        except OSError:  # it was compiled and could not be kept: a full disk, a folder that somebody took away
            return compiled.get_compile_result(signature)


class Kernel:
    """A kernel, compiled once for every dtype it is used with, and called by its address."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.name = f"{function.__module__}.{function.__name__}"
        # Nobody but the compiled loops calls it, by its address: what Python and C would need for a call is not compiled.
        self.function = jit_on_disk(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)
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
        machine_code, function = attrgetter("library", "fndesc")(compile_result(self.function, kernel_signature(dtype)))
        return int(machine_code.get_pointer_to_function(function.llvm_func_name))


kernel = Kernel  # as a decorator


def kernel_signature(dtype: np.dtype[Any]) -> Any:
    numbers: Any = types
    return numbers.void(numbers.UniTuple(types.int64, FIELDS), numba.from_dtype(np.dtype(dtype))[::1], types.int64[::1])


def view(flat: Array, at: int, *shape: int) -> Any:
    """The array of this shape that starts at `at`; of an array of more axes, counted as if it were flat. It must be contiguous.

    Nothing is checked, and nothing counts who uses the memory: it belongs to somebody who outlives the kernel.
    """
    return flat.reshape(-1)[at : at + prod(shape)].reshape(shape)


@overload(view)
def _view(flat: Any, at: Any, *shape: Any) -> Any:
    borrowed: Any = _borrowed  # called without its first argument, which numba gives

    def borrow(flat: Any, at: Any, *shape: Any) -> Any:
        return borrowed(flat, at, shape)

    return borrow


@intrinsic
def _borrowed(typing: Any, flat: Any, at: Any, shape: Any) -> Any:
    """An array put together from a pointer and its shape: a slice and a reshape took 25 ns, and a third of all compilation."""
    numbers: Any = types
    array = numbers.Array(flat.dtype, len(shape), "C", readonly=not flat.mutable)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tools: Any = arrayobj
        unpacked: Any = unpack_tuple
        whole, index = tools.make_array(flat)(context, builder, arguments[0]), numbers.intp
        lengths = [context.cast(builder, value, kind, index) for value, kind in zip(unpacked(builder, arguments[2]), shape, strict=True)]
        itemsize = context.get_constant(index, context.get_abi_sizeof(context.get_data_type(flat.dtype)))
        strides = [itemsize]
        for length in reversed(lengths[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        made = tools.make_array(array)(context, builder)
        start = builder.gep(whole.data, [context.cast(builder, arguments[1], at, index)])
        tools.populate_array(made, data=start, shape=lengths, strides=strides, itemsize=itemsize, meminfo=None)
        return made._getvalue()

    return array(flat, at, shape), generate


@jit
def clear(flat: Array) -> None:
    """Zeros everywhere in an array of one axis. As an assignment to a slice it takes half a second to compile, wherever it stands."""
    zero = flat.dtype.type(0)
    for i in range(flat.size):
        flat[i] = zero
