"""The supervisor with real processes and real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import service.parent
from sankofa import process as module
from sankofa.errors import InstallationFault
from sankofa.process import Guardian, Part, Process, run_to_end
from sankofa.supervisor import Supervisor
from tests.sankofa.processes import until

FAKE_PARTS = Path(__file__).with_name("fake_parts.py")


def command(kind: str, folder: Path, name: str) -> list[str]:
    return [sys.executable, "-P", str(FAKE_PARTS), kind, str(folder), name]


def part(kind: str, folder: Path, name: str = "part") -> Part:
    return Part(name, command(kind, folder, name), dict(os.environ))


def silent(name: str, line: str) -> None:
    pass


def pids(folder: Path, name: str = "part") -> list[int]:
    path = folder / f"{name}.pids"
    return [int(line) for line in path.read_text().split("\n") if line] if path.exists() else []


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_name_of_the_parents_variable_is_one() -> None:
    assert module.PARENT_VARIABLE == service.parent.PARENT_VARIABLE


def test_a_part_that_is_killed_is_started_again_within_a_second(tmp_path: Path) -> None:
    restarts: list[tuple[str, int, float]] = []
    with Supervisor([part("stranger", tmp_path)], grace_seconds=5, on_line=silent, on_restart=lambda *told: restarts.append(told)):
        until(lambda: len(pids(tmp_path)) == 1)
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        assert until(lambda: len(restarts) == 1) < 1.0
        until(lambda: len(pids(tmp_path)) == 2)
    assert restarts[0][:2] == ("part", -signal.SIGKILL)
    assert not any(map(alive, pids(tmp_path)))


def test_what_a_dead_part_forked_is_gone_before_it_starts_again(tmp_path: Path) -> None:
    with Supervisor([part("forking", tmp_path)], grace_seconds=5, on_line=silent):
        until(lambda: len(pids(tmp_path)) == 1)
        grandchild = int((tmp_path / "part.grandchild").read_text())
        assert alive(grandchild)
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        until(lambda: len(pids(tmp_path)) == 2)
        assert not alive(grandchild)


def test_stop_is_graceful_and_leaves_nothing(tmp_path: Path) -> None:
    parts = [part("graceful", tmp_path, name) for name in ("one", "two")]
    with Supervisor(parts, grace_seconds=5, on_line=silent) as supervisor:
        until(lambda: bool(pids(tmp_path, "one") and pids(tmp_path, "two")))
        assert supervisor.stop() == []
    assert (tmp_path / "one.stopped").exists()
    assert (tmp_path / "two.stopped").exists()
    assert not any(map(alive, pids(tmp_path, "one") + pids(tmp_path, "two")))


def test_a_part_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    with Supervisor([part("deaf", tmp_path), part("graceful", tmp_path, "good")], grace_seconds=0.5, on_line=silent) as supervisor:
        until(lambda: bool(pids(tmp_path) and pids(tmp_path, "good")))
        started = time.monotonic()
        assert supervisor.stop() == ["part"]
        assert 0.4 < time.monotonic() - started < 3
    assert not any(map(alive, pids(tmp_path)))


def test_a_part_that_keeps_dying_ends_the_whole_with_its_last_words(tmp_path: Path) -> None:
    with Supervisor([part("dying", tmp_path), part("stranger", tmp_path, "good")], grace_seconds=5, on_line=silent) as supervisor:
        with pytest.raises(InstallationFault, match=r"part died 5 times in a row(.|\n)*exit code 1(.|\n)*no such luck"):
            supervisor.wait(20)
        assert len(pids(tmp_path)) == 5
    assert not any(map(alive, pids(tmp_path, "good")))


def test_a_part_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with (
        Supervisor([Part("api", ["/no/such/python"], {})], grace_seconds=5, on_line=silent) as supervisor,
        pytest.raises(InstallationFault, match="api: /no/such/python cannot be started"),
    ):
        supervisor.wait(10)


def test_lines_arrive_under_the_name_of_their_part(tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    with Supervisor([part("stranger", tmp_path)], grace_seconds=5, on_line=lambda *line: lines.append(line)):
        until(lambda: bool(lines))
    assert lines[0] == ("part", "part says hello")


SUPERVISE = """
    import os, sys, time
    from pathlib import Path
    from sankofa.process import Part
    from sankofa.supervisor import Supervisor, stop_signals_interrupt
    fake_parts, folder, kind, grace_seconds = sys.argv[1:]
    parts = [Part(name, [sys.executable, "-P", fake_parts, kind, folder, name], dict(os.environ)) for name in ("one", "two")]
    with stop_signals_interrupt():
        try:
            with Supervisor(parts, grace_seconds=float(grace_seconds), on_line=lambda name, line: None) as supervisor:
                supervisor.wait()
        except KeyboardInterrupt:
            sys.exit(7)
"""


def supervise(folder: Path, kind: str, grace_seconds: float = 5.0) -> subprocess.Popen[bytes]:
    """A supervisor of two parts in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SUPERVISE), str(FAKE_PARTS), str(folder), kind, str(grace_seconds)])
    until(lambda: bool(pids(folder, "one") and pids(folder, "two")))
    return process


@pytest.mark.parametrize("kind", ["graceful", "deaf", "forking", "forgetful"])
def test_nothing_survives_a_supervisor_that_is_killed(tmp_path: Path, kind: str) -> None:
    process = supervise(tmp_path, kind)
    process.kill()
    process.wait()
    left = pids(tmp_path, "one") + pids(tmp_path, "two")
    left += [int(path.read_text()) for path in tmp_path.glob("*.grandchild")]
    assert until(lambda: not any(map(alive, left))) < 2.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_supervisor_stops_everything_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    process = supervise(tmp_path, "graceful")
    process.send_signal(number)
    assert process.wait(20) == 7
    assert (tmp_path / "one.stopped").exists()
    assert (tmp_path / "two.stopped").exists()
    assert not any(map(alive, pids(tmp_path, "one") + pids(tmp_path, "two")))


def test_a_second_interrupt_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    process = supervise(tmp_path, "deaf", grace_seconds=30)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(3) == 7
    assert not any(map(alive, pids(tmp_path, "one") + pids(tmp_path, "two")))


def test_a_step_that_fails_says_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(InstallationFault, match=r"part failed: it ended with exit code 1(.|\n)*no such luck"):
        run_to_end(part("dying", tmp_path), silent)


def test_an_interrupted_step_leaves_nothing(tmp_path: Path) -> None:
    step = f"""
        import os, sys
        from sankofa.process import Part, run_to_end
        from sankofa.supervisor import stop_signals_interrupt
        with stop_signals_interrupt():
            try:
                run_to_end(Part("part", {command("stranger", tmp_path, "part")!r}, dict(os.environ)), print)
            except KeyboardInterrupt:
                sys.exit(7)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(step)], stdout=subprocess.DEVNULL)
    until(lambda: bool(pids(tmp_path)))
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 7
    assert not any(map(alive, pids(tmp_path)))


def test_a_process_is_killed_with_its_whole_group(tmp_path: Path) -> None:
    guardian = Guardian()
    process = Process(part("forking", tmp_path), guardian, silent)
    until(lambda: bool(pids(tmp_path)))
    process.kill()
    until(lambda: process.ended() is not None)
    guardian.close()
    assert not alive(int((tmp_path / "part.grandchild").read_text()))
