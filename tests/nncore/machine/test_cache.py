"""The folder of compiled kernels, in fresh processes: never stale, safe for several at once, found wherever we are installed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import nncore
from nncore.machine.cache import FOLDERS_KEPT, SOURCES, kernel_digest
from nncore.machine.compilation import known_kernels

RELU_OF_MINUS_ONE_AND_ONE = """
import numpy as np
from nncore.layers.dense import dense_forward
from nncore.machine.kernels import ROWS
from nncore.machine.run import _run_rows
arena, integers = np.array([1, -1, 1, 0, 0], np.float32), np.zeros(8, np.int64)  # x, two weights, two outputs
integers[ROWS] = 1
plan = np.array([[0, 0, 1, -1, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
_run_rows(np.array([dense_forward.address(arena.dtype)]), plan, 0, 1, arena, integers)
print(arena[3:].tolist())
"""

WARM = """
import sys
from nncore.machine import compiled, warm
from nncore.optimizers.sgd import momentum, sgd
warm(sys.argv[1], kernels=[momentum, sgd])
hits = sum(kernel.function.stats.cache_hits.total() for kernel in (momentum, sgd))
print(hits, compiled(sys.argv[1]))
"""


def python(code: str, *arguments: str, cache: Path, root: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """A process of its own, with a cache folder of its own."""
    variables = {**os.environ, "SANKOFA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    if root is not None:
        variables["PYTHONPATH"] = str(root)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=variables, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def output(process: subprocess.Popen[str]) -> str:
    printed, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    return printed.strip()


def where_kernels_go(cache: Path, **environment: str) -> Path:
    return Path(output(python("from nncore.machine.cache import cache_folder; print(cache_folder())", cache=cache, **environment)))


def test_a_kernel_whose_callee_changed_in_another_file_is_compiled_again(tmp_path: Path) -> None:
    """numba's own cache looks at the kernel's file only, and went on with the old machine code."""
    copy, cache = tmp_path / "copy", tmp_path / "cache"
    shutil.copytree(Path(nncore.__file__).parent, copy / "nncore", ignore=shutil.ignore_patterns("__pycache__"))
    assert output(python(RELU_OF_MINUS_ONE_AND_ONE, cache=cache, root=copy)) == "[0.0, 1.0]"

    callee = copy / "nncore" / "activations.py"
    before = callee.read_text()
    after = before.replace("flat[i] = zero if flat[i] < zero else flat[i]", "flat[i] = one if flat[i] < zero else flat[i]")
    assert before != after
    callee.write_text(after)
    assert output(python(RELU_OF_MINUS_ONE_AND_ONE, cache=cache, root=copy)) == "[1.0, 1.0]"


def test_processes_that_compile_at_once_do_not_spoil_each_others_kernels(tmp_path: Path) -> None:
    together = [python(WARM, dtype, cache=tmp_path) for dtype in ("float32", "float64", "float32")]
    loaded = [int(output(process).split()[0]) for process in together]
    assert sum(loaded) == 2  # each of the 2 kernels is compiled once for each of the 2 dtypes: the third process loads, whichever that is
    for dtype in ("float32", "float64"):
        assert output(python(WARM, dtype, cache=tmp_path)) == "2 False"


def test_every_file_with_kernels_is_part_of_the_digest() -> None:
    root = Path(nncore.__file__).parent
    covered = [root / entry for entry in SOURCES]
    files = {Path(sys.modules[kernel.name.rsplit(".", 1)[0]].__file__ or "") for kernel in known_kernels()}
    assert len(files) > 5
    for file in files:
        assert any(entry == file or entry in file.parents for entry in covered), file


def test_an_unwritable_cache_folder_is_passed_over_for_the_next(tmp_path: Path) -> None:
    a_file = tmp_path / "file"
    a_file.touch()
    found = where_kernels_go(a_file / "not-a-folder", XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert found == tmp_path / "xdg" / "sankofa" / "kernels" / kernel_digest()
    assert stat.S_IMODE(found.stat().st_mode) & stat.S_IWOTH == 0

    nowhere = {"XDG_CACHE_HOME": str(a_file), "HOME": str(a_file), "TMPDIR": str(tmp_path)}
    assert tmp_path in where_kernels_go(a_file, **nowhere).parents


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="without users there is no stranger")
def test_machine_code_is_never_loaded_from_a_folder_that_others_may_write(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "kernels" / kernel_digest()
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    found = where_kernels_go(tmp_path / "cache", XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert found.is_relative_to(tmp_path / "xdg")


def test_old_folders_are_forgotten_and_the_recent_stay(tmp_path: Path) -> None:
    for age in range(FOLDERS_KEPT + 3):
        old = tmp_path / "kernels" / f"version{age}"
        old.mkdir(parents=True)
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    own = where_kernels_go(tmp_path)
    left = {path.name for path in (tmp_path / "kernels").iterdir()}
    assert left == {own.name, *(f"version{age}" for age in range(FOLDERS_KEPT))}


FOLDER_TAKEN_AWAY = """
import os, shutil
from pathlib import Path
import numba.core.caching
from nncore.machine.cache import cache_folder
from nncore.optimizers.sgd import momentum, sgd
shutil.rmtree(cache_folder().parent)
addresses = [sgd.address(__import__("numpy").dtype("float32"))]

def full(*arguments):
    raise OSError(28, "No space left on device")
numba.core.caching.IndexDataCacheFile.save = full
addresses += [momentum.address(__import__("numpy").dtype("float32"))]
print(all(addresses))
"""


def test_kernels_are_compiled_even_where_they_cannot_be_kept(tmp_path: Path) -> None:
    assert output(python(FOLDER_TAKEN_AWAY, cache=tmp_path)) == "True"
