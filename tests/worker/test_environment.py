"""The fingerprint is that of the environment, not of the process."""

from __future__ import annotations

import os
import subprocess
import sys

from service.store import workers
from service.store.database import Store
from worker.environment import describe, fingerprint, parts


def test_every_process_of_an_environment_has_the_same_fingerprint() -> None:
    code = "from worker.environment import use_one_blas_thread as one, fingerprint; one(); import numpy; print(fingerprint())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in "012345"
    }
    assert len(found) == 1


def test_what_the_fingerprint_is_the_digest_of_is_told_and_kept(store: Store) -> None:
    told = parts()
    assert {"sankofa", "kernels", "python", "numpy", "numba", "llvmlite", "blas", "processor", "system"} == told.keys()
    assert told["kernels"] == describe()["kernels"]
    process = workers.process(os.getpid())
    assert process is not None
    for environment in (told, {"python": "another"}):  # the first word stands
        workers.register(store, process, fingerprint(), environment)
    assert workers.environment_of(store, fingerprint()) == told
    assert workers.environment_of(store, "unknown") is None
