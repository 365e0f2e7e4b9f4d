"""Compiling kernels ahead of their use, where somebody can be told how long it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nncore.machine.cache import cache_folder
from nncore.machine.kernels import Kernel
from nncore.machine.run import loops

DTYPES = ("float32", "float64")
Progress = Callable[[int, int], None]


def known_kernels() -> list[Kernel]:
    """Every kernel that any plan may call: those in the files of layers, losses, optimizers, augmentations and explanations."""
    import nncore.augment
    import nncore.explain
    import nncore.layers
    import nncore.losses
    import nncore.optimizers  # noqa: F401 (with it every file of theirs is loaded)

    packages = tuple(f"nncore.{package}." for package in ("augment", "explain", "layers", "losses", "optimizers"))
    modules = (module for name, module in sorted(sys.modules.items()) if name.startswith(packages))
    return list(dict.fromkeys(value for module in modules for value in vars(module).values() if isinstance(value, Kernel)))


def usual_kernels() -> list[Kernel]:
    """Those of dense networks with the usual losses and optimizers, and nothing special: what nearly everybody needs first."""
    from nncore.layers.dense import dense_backward, dense_forward
    from nncore.losses.binary_cross_entropy import binary_cross_entropy
    from nncore.losses.mean_squared_error import mean_squared_error
    from nncore.losses.softmax_cross_entropy import softmax_cross_entropy
    from nncore.optimizers.adam import adam
    from nncore.optimizers.sgd import sgd

    # The two that take longest first and last: two processes that begin at the two ends meet in the middle.
    return [dense_forward, softmax_cross_entropy, mean_squared_error, binary_cross_entropy, sgd, adam, dense_backward]


def warm(
    dtype: str = "float32", kernels: Iterable[Kernel] | None = None, progress: Progress | None = None, *, backwards: bool = False
) -> float:
    """Compile, or load, the loops and these kernels (None: every kernel there is) for this dtype; the seconds it took.

    progress: called with (done, total), first with 0 done. backwards: the last first, for a process that comes from the other end.
    """
    everything = kernels is None
    wanted = known_kernels() if kernels is None else list(kernels)
    started, total = time.perf_counter(), len(wanted) + 1
    tell = progress or (lambda done, total: None)
    tell(0, total)
    parts: list[Callable[[np.dtype[Any]], object]] = [_every_loop if everything else loops, *(kernel.address for kernel in wanted)]
    for done, part in enumerate(reversed(parts) if backwards else parts, start=1):
        part(np.dtype(dtype))
        tell(done, total)
    if everything:
        _mark(dtype).touch()
    return time.perf_counter() - started


def _every_loop(dtype: np.dtype[Any]) -> None:
    """Those of machines, and that of nncore.minimize, which knows float64 only."""
    from nncore.minimize.update import row_loop

    loops(dtype)
    if dtype == np.float64:
        row_loop()


def compiled(dtype: str = "float32") -> bool:
    """Whether every kernel was compiled into the cache before, by any process: then `warm` takes a fraction of a second."""
    return _mark(dtype).exists()


def warm_usual(progress: Progress | None = None, *, backwards: bool = False) -> float:
    """Compile, or load, the usual kernels for float32; the seconds it took."""
    seconds = warm("float32", usual_kernels(), progress, backwards=backwards)
    _mark("float32", "usual").touch()
    return seconds


def usual_compiled() -> bool:
    """Whether the usual kernels were compiled into the cache before, by themselves or with all others."""
    return _mark("float32", "usual").exists() or compiled("float32")


def _mark(dtype: str, which: str = "every") -> Path:
    return cache_folder() / f"{which}-kernel-{np.dtype(dtype).name}"
