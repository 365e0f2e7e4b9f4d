"""Where the lines of processes go."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sankofa.logs import LogFiles, PrefixedStderr


def test_lines_begin_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    log = PrefixedStderr(["api", "worker"])
    log("api", "hello")
    log("worker", "there")
    assert capsys.readouterr().err == "api    | hello\nworker | there\n"


def test_lines_for_machines_are_left_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    PrefixedStderr(["api"], prefix=False)("api", '{"event": 1}')
    assert capsys.readouterr().err == '{"event": 1}\n'


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    PrefixedStderr(["api"])("api", "hello")


def test_files_are_bounded_and_a_start_keeps_the_ones_before(tmp_path: Path) -> None:
    for start in ("first", "second"):
        logs = LogFiles(tmp_path / "logs", max_bytes=30)
        for number in range(3):
            logs("api", f"{start} line {number}")
        logs("worker", start)
        logs.close()
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"api.log", "api.log.1", "worker.log", "worker.log.1"}
    assert (tmp_path / "logs" / "api.log").read_text() == "second line 2\n"
    assert (tmp_path / "logs" / "api.log.1").read_text() == "second line 0\nsecond line 1\n"
    assert (tmp_path / "logs" / "worker.log.1").read_text() == "first\n"
