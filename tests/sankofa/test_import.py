"""What importing the package costs those who only want to talk to a service."""

from __future__ import annotations

import subprocess
import sys

import sankofa
from sankofa import errors

HEAVY = {"flask", "celery", "sqlalchemy", "numba", "nncore", "service", "worker", "granian", "pydantic", "numpy", "torch", "plotly", "yaml"}


def seconds(statements: str) -> float:
    """The least processor time of several fresh processes to run `statements`, whatever else the machine does."""
    program = f"import time; started = time.process_time()\n{statements}\nprint(time.process_time() - started)"
    return min(float(subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, check=True).stdout) for _ in range(5))


def test_the_client_loads_nothing_of_the_service() -> None:
    program = "import sys, sankofa, sankofa.commands; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & {name.partition(".")[0] for name in loaded}


def test_the_package_draws_nothing_before_it_is_asked_to() -> None:
    program = "import sys, sankofa; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"rich", "scipy", "pandas"} & set(loaded)


def test_the_client_is_loaded_in_less_than_one_and_a_half_times_that_of_numpy() -> None:
    """On a machine that has nothing else to do numpy takes less than 0.1 s, so that this is 0.15 s; on a busy one both take longer."""
    assert seconds("import sankofa") < 1.5 * seconds("import numpy")


def test_every_error_a_caller_may_meet_can_be_imported_from_the_package() -> None:
    names = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.SankofaError)}
    assert names - {"InstallationFault"} <= set(sankofa.__all__), "only commands start installations"
    assert all(getattr(sankofa, name) for name in sankofa.__all__)
