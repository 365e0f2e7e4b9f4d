"""Where compiled kernels are kept: a folder that is writable wherever we are installed, named by a digest of our kernel sources.

numba's own disk cache does not see that a function called from another file has changed: the caller would go on with old machine
code. Here any change of any kernel source, of a version, or of the processor makes another folder, so nothing stale is ever found.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
import numpy as np

from nncore.errors import NncoreError

try:
    import fcntl
except ImportError:  # not on Windows: there two processes may compile the same kernel twice
    fcntl = None  # type: ignore[assignment]

FOLDERS_KEPT = 8  # of other versions and processors, the most recently used
LOCK_WAIT_SECONDS = 120.0  # then the holder is taken for frozen, and we compile beside it

SOURCES = (
    "activations.py",
    "augment",
    "explain",
    "machine",
    "layers",
    "losses",
    "optimizers",
)  # every file that holds kernels or what they call


@cache
def kernel_digest() -> str:
    """A digest of everything that decides what machine code a kernel becomes."""
    digest, root = hashlib.sha256(), Path(__file__).parent.parent
    for entry in SOURCES:
        path = root / entry
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    processor = (llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    versions = (platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__)
    digest.update(repr((processor, versions)).encode())
    return digest.hexdigest()[:20]


@cache
def cache_folder() -> Path:
    """The folder of this version's compiled kernels; made when missing.

    The first that can be written of SANKOFA_CACHE_DIR, XDG_CACHE_HOME/sankofa, ~/.cache/sankofa, and a private folder
    among the temporary files. Machine code is loaded from it, so it must belong to us alone.
    """
    for root in _roots():
        folder = root / "kernels" / kernel_digest()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_if_others_may_write(folder)
            os.utime(folder)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            continue
        _forget_old_folders(folder)
        return folder
    raise NncoreError("no folder for compiled kernels can be written; set SANKOFA_CACHE_DIR to one that can")


def _roots() -> Iterator[Path]:
    if named := os.environ.get("SANKOFA_CACHE_DIR"):
        yield Path(named)
    if named := os.environ.get("XDG_CACHE_HOME"):
        yield Path(named) / "sankofa"
    with contextlib.suppress(RuntimeError):  # no home
        yield Path.home() / ".cache" / "sankofa"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"sankofa-{user}"
    yield Path(tempfile.mkdtemp(prefix="sankofa-"))


def _refuse_if_others_may_write(folder: Path) -> None:
    if not hasattr(os, "getuid"):
        return
    status = folder.stat()
    if status.st_uid not in (os.getuid(), 0) or status.st_mode & stat.S_IWOTH:
        raise PermissionError(f"{folder} belongs to somebody else")


def _forget_old_folders(current: Path) -> None:
    with contextlib.suppress(OSError):
        others = sorted((path for path in current.parent.iterdir() if path != current and path.is_dir()), key=_last_used, reverse=True)
        for path in others[FOLDERS_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # somebody else is forgetting it
        return 0.0


_one_thread = threading.RLock()


@contextlib.contextmanager
def compiling_alone(name: str) -> Iterator[None]:
    """While it is held, no other thread of ours compiles, and no other process compiles the function of this name into the cache folder.

    Not only to save work: two processes that add different dtypes of one kernel at the same time would give their files the same name.
    """
    with _one_thread:
        if fcntl is None:
            yield
            return
        locks = cache_folder() / "locks"
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)  # it may have been taken away since
        with open(locks / name, "ab") as lock:
            deadline = time.monotonic() + LOCK_WAIT_SECONDS
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)
            yield
