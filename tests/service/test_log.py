"""Log lines, in a process of their own: ours and those of libraries look the same, and what cannot be written ends nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

LINES = """
import logging, sys
import structlog
from service import log
from service.settings import Settings
log.configure(Settings(log_format=sys.argv[1]))
with structlog.contextvars.bound_contextvars(job_id="job_1"):
    structlog.get_logger().warning("ours", step=3)
    logging.getLogger("library").warning("theirs")
    structlog.get_logger().debug("of no interest")
    try:
        raise ValueError("told in full")
    except ValueError:
        structlog.get_logger().exception("failed")
print("went on")
"""


def run(form: str, stderr: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINES, form], stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60)


def test_lines_for_machines_are_json() -> None:
    ours, theirs, failed = map(json.loads, run("json").stderr.splitlines())
    assert (ours["event"], ours["level"], ours["job_id"], ours["step"]) == ("ours", "warning", "job_1", 3)
    assert (theirs["event"], theirs["level"], theirs["job_id"], theirs["logger"]) == ("theirs", "warning", "job_1", "library")
    assert failed["level"] == "error"
    assert "ValueError: told in full" in failed["exception"]


def test_lines_for_people_begin_with_the_time_and_the_level() -> None:
    ours, theirs, *_ = run("console").stderr.splitlines()
    assert "[warning  ] ours" in ours
    assert "job_id=job_1" in ours
    assert "step=3" in ours
    assert "[warning  ] theirs" in theirs


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_full_disk_behind_the_log_ends_nothing(form: str) -> None:
    with open("/dev/full", "w") as full:
        assert run(form, full).stdout == "went on\n"
