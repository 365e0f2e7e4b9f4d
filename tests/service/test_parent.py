"""A process that ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from service.parent import PARENT_VARIABLE, exit_with_parent


def test_nobody_is_watched_without_a_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT_VARIABLE, raising=False)
    assert exit_with_parent() is False


def test_the_variable_does_not_reach_grandchildren() -> None:
    program = (
        f"import os; from service.parent import exit_with_parent; assert exit_with_parent(); print(os.environ.get({PARENT_VARIABLE!r}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, PARENT_VARIABLE: str(os.getpid())}, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "None\n"


@pytest.mark.parametrize("deaf", [False, True])
def test_a_process_whose_parent_is_another_ends_at_once(deaf: bool) -> None:
    """As when the parent died while the child was still starting."""
    program = "import signal, time; from service.parent import exit_with_parent\n"
    program += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if deaf else ""
    program += "exit_with_parent(grace_seconds=0.2); time.sleep(60)"
    answer = subprocess.run([sys.executable, "-c", program], env={**os.environ, PARENT_VARIABLE: "1"}, timeout=10, check=False)
    assert answer.returncode == (1 if deaf else -15)
