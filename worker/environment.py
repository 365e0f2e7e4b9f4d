"""The environment fingerprint: what must be equal for training to give equal bits."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import version
from typing import Any

BLAS_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def use_one_blas_thread() -> None:
    """Tell BLAS to use one thread in this process and its children. To be called before numpy or scipy are imported."""
    for variable in BLAS_THREAD_VARIABLES:
        os.environ[variable] = "1"


def describe() -> dict[str, Any]:
    """The parts of the fingerprint: the BLAS that kernels call, and all that decides what machine code a kernel becomes."""
    import scipy.linalg.cython_blas  # noqa: F401  loads that BLAS
    import threadpoolctl

    from nncore.machine.cache import kernel_digest

    blas = sorted(  # threadpoolctl names the libraries in an order that differs from process to process
        [str(library.get(name)) for name in ("internal_api", "version", "architecture", "num_threads")]
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas" and "scipy" in library["filepath"]
    )
    return {"blas": blas, "kernels": kernel_digest()}


def parts() -> dict[str, Any]:
    """What the fingerprint is the digest of, in words for people: BLAS and what `kernels` is made of, beside the sources of the kernels."""
    import llvmlite
    import llvmlite.binding
    import numba
    import numpy

    described = describe()
    return {
        "sankofa": version("sankofa"),
        "kernels": described["kernels"],
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "blas": [" ".join(library) for library in described["blas"]],
        "processor": llvmlite.binding.get_host_cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def fingerprint() -> str:
    """16 hexadecimal digits that are equal where `describe` is."""
    return hashlib.sha256(json.dumps(describe(), sort_keys=True).encode()).hexdigest()[:16]
