"""The fingerprint is that of the environment, not of the process."""

from __future__ import annotations

import os
import subprocess
import sys


def test_every_process_of_an_environment_has_the_same_fingerprint() -> None:
    code = "from worker.environment import use_one_blas_thread as one, fingerprint; one(); import numpy; print(fingerprint())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in "012345"
    }
    assert len(found) == 1
