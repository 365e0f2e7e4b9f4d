"""`sankofa demo`: real processes that leave nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sankofa import read_safetensors
from sankofa.commands.exits import Exit
from tests.sankofa.processes import processes_of, until

pytestmark = pytest.mark.e2e


def demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sankofa", "demo", "--data-dir", str(folder / "data"), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_demo_learns_digits_and_leaves_nothing_running(tmp_path: Path) -> None:
    with demo(tmp_path, "--json") as process:
        stdout, stderr = process.communicate(timeout=280)
    assert process.returncode == Exit.DONE, stderr
    numbers = json.loads(stdout)
    assert numbers["accuracy"] >= 0.95
    assert numbers["rows"] >= 300
    assert [step["step"] for step in numbers["steps"]][3:6] == [
        "upload digits.csv.gz",
        "train a 64-32-10 network",
        "fetch digits.safetensors",
    ]
    assert read_safetensors((tmp_path / "digits.safetensors").read_bytes())["0.weight"].shape == (32, 64)
    assert Path(numbers["weights"]) == tmp_path / "digits.safetensors"
    assert {path.name for path in Path(numbers["logs"]).iterdir()} >= {"api.log", "worker.log"}
    assert "accuracy 0.9" in stderr
    assert processes_of(tmp_path / "data") == []


def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        until(lambda: len(processes_of(tmp_path / "data")) >= 4, 200)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert stderr.endswith("interrupted\n")
    assert "Traceback" not in stderr
    assert processes_of(tmp_path / "data") == []


def test_a_demo_that_cannot_write_says_so_before_it_starts(tmp_path: Path) -> None:
    with demo(tmp_path, "--output", "nowhere/digits.safetensors") as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == Exit.USAGE
    assert "nowhere" in stderr
    assert not (tmp_path / "data").exists()
