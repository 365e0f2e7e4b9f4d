"""The processes of a service on one machine: started, watched, started again when they die, and never left behind.

Every process leads a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor, and everything it forked can be
killed with it. A supervisor that is killed itself stops nobody: then its children end by themselves (SANKOFA_PARENT_PID, see
service/parent.py), and a guardian, told of every group, kills what is left of them (guardian.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sankofa.errors import InstallationFault

# service/parent.py reads it; a test holds the two together.
PARENT_VARIABLE = "SANKOFA_PARENT_PID"

LOOK_SECONDS = 0.1
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 0.8
# A process that lived less than this has died at once; after MAX_QUICK_DEATHS of these in a row the supervisor gives up.
QUICK_SECONDS = 3.0
MAX_QUICK_DEATHS = 5
TAIL_LINES = 20
LONGEST_LINE_BYTES = 1 << 16

LineSink = Callable[[str, str], object]  # (name of the part, one line it wrote)


@dataclass(frozen=True)
class Part:
    """A program of the service: what to call it, and how to start it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


class Guardian:
    """A process beside the supervisor that kills the groups it was told of, should the supervisor end without having done so."""

    def __init__(self) -> None:
        # By its file: as a module it would first load the package.
        command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py"))]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def watch(self, group: int) -> None:
        """Kill this group when the supervisor is gone."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """This group is gone; its number may soon be another's."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End it. What it still watches it kills."""
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.close()
        self._popen.wait()

    def _tell(self, text: str) -> None:
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):  # somebody killed it: the children still watch for themselves
            os.write(self._popen.stdin.fileno(), text.encode())


class Process:
    """One life of a part. What it writes goes line by line to `on_line`; its last lines are kept."""

    def __init__(self, part: Part, guardian: Guardian, on_line: LineSink) -> None:
        self.part = part
        self.started = time.monotonic()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._guardian = guardian
        self._on_line = on_line
        self._code: int | None = None
        try:
            self._popen = subprocess.Popen(
                part.command,
                env={**part.environment, PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise InstallationFault(f"{part.name}: {part.command[0]} cannot be started ({error.strerror})") from error
        guardian.watch(self.pid)
        assert self._popen.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._popen.stdout,), name=f"read-{part.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def ended(self) -> int | None:
        """The exit code, negative for a signal, once the process is dead and all that it forked with it; None while it lives."""
        if self._code is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            # Killed before it is reaped: until then its id, which is its group's, cannot be another's. What it forked would
            # otherwise keep the port or a job.
            self.kill()
            self._guardian.forget(self.pid)
            self._code = self._popen.wait()
            self._reader.join(1.0)
        return self._code

    def terminate(self) -> None:
        """Ask for a graceful end."""
        if self._code is None:
            self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything in its process group, at once."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def last_lines(self) -> str:
        """What it said last, indented; for a message."""
        return "\n".join("    " + line for line in self.tail) or "    (it wrote nothing)"

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in iter(lambda: stream.readline(LONGEST_LINE_BYTES), b""):
                text = line.decode(errors="replace").rstrip("\r\n")
                self.tail.append(text)
                self._on_line(self.part.name, text)


class Supervisor:
    """Keeps parts running from `start` to `stop`; used in a `with`."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        grace_seconds: float,
        on_line: LineSink,
        on_restart: Callable[[str, int, float], object] | None = None,
    ) -> None:
        """grace_seconds: how long `stop` waits before it kills. on_restart: told a dead part, its exit code, and the delay in seconds."""
        self._slots = [_Slot(part) for part in parts]
        self._grace_seconds = grace_seconds
        self._on_line = on_line
        self._on_restart = on_restart
        self._stopping = threading.Event()
        self._failed = threading.Event()
        self._failure: InstallationFault | None = None
        # Processes are started by this thread alone, which no signal handler interrupts between a start and its being written down.
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self._guardian = Guardian()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self._guardian.close()

    def pids(self) -> dict[str, int]:
        """The process ids of the parts that live."""
        return {slot.part.name: slot.process.pid for slot in self._slots if slot.process is not None}

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Return when the time is up. Raises InstallationFault as soon as a part keeps dying at once."""
        self._failed.wait(timeout_seconds)
        if self._failure is not None:
            raise self._failure

    def last_lines(self) -> str:
        """What each living part said last."""
        return "\n".join(f"  {slot.part.name}:\n{slot.process.last_lines()}" for slot in self._slots if slot.process is not None)

    def stop(self) -> list[str]:
        """SIGTERM to all, then SIGKILL to those that are not gone after the grace; their names. A KeyboardInterrupt ends the patience."""
        slow: list[str] = []
        try:
            self._stopping.set()
            self._thread.join(10.0)
            for slot in self._slots:
                if slot.process is not None and slot.process.ended() is None:
                    slot.process.terminate()
            deadline = time.monotonic() + self._grace_seconds
            while self._living() and time.monotonic() < deadline:
                time.sleep(0.02)
        except KeyboardInterrupt:
            pass
        finally:
            for process in self._living():
                slow.append(process.part.name)
                process.kill()
            deadline = time.monotonic() + 5.0
            while self._living() and time.monotonic() < deadline:
                time.sleep(0.02)
        return slow

    def _living(self) -> list[Process]:
        return [slot.process for slot in self._slots if slot.process is not None and slot.process.ended() is None]

    def _watch(self) -> None:
        try:
            while True:
                for slot in self._slots:
                    self._look(slot)
                if self._stopping.wait(LOOK_SECONDS):
                    return
        except InstallationFault as error:
            self._failure = error
            self._failed.set()

    def _look(self, slot: _Slot) -> None:
        """Notice that a part died, and start it (again) when its time has come."""
        now = time.monotonic()
        if slot.process is not None:
            code = slot.process.ended()
            if code is None:
                return
            lived_seconds = now - slot.process.started
            slot.quick_deaths = slot.quick_deaths + 1 if lived_seconds < QUICK_SECONDS else 0
            if slot.quick_deaths >= MAX_QUICK_DEATHS:
                raise InstallationFault(
                    f"{slot.part.name} died {slot.quick_deaths} times in a row within {QUICK_SECONDS:g} s of its start, "
                    f"the last time {describe_exit(code)}. It said:\n{slot.process.last_lines()}"
                )
            delay = min(FIRST_DELAY_SECONDS * 2**slot.quick_deaths, LONGEST_DELAY_SECONDS)
            slot.process, slot.start_at = None, now + delay
            if self._on_restart is not None:
                self._on_restart(slot.part.name, code, delay)
        if now >= slot.start_at:
            slot.process = Process(slot.part, self._guardian, self._on_line)


@dataclass
class _Slot:
    """The place of a part: its present life, if it has one, and how it fared before."""

    part: Part
    process: Process | None = None
    start_at: float = 0.0
    quick_deaths: int = 0


def run_to_end(part: Part, on_line: LineSink) -> float:
    """Run a part that is to end by itself; the seconds it took. Raises InstallationFault, with its last lines, when it fails."""
    guardian = Guardian()
    try:
        return _run_to_end(Process(part, guardian, on_line))
    finally:
        guardian.close()


def _run_to_end(process: Process) -> float:
    try:
        while (code := process.ended()) is None:
            time.sleep(0.01)
    finally:
        if process.ended() is None:
            process.terminate()
            deadline = time.monotonic() + 5.0
            with contextlib.suppress(KeyboardInterrupt):
                while process.ended() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
            process.kill()
    if code != 0:
        raise InstallationFault(f"{process.part.name} failed: it ended {describe_exit(code)}. It said:\n{process.last_lines()}")
    return time.monotonic() - process.started


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


@contextlib.contextmanager
def stop_signals_interrupt() -> Iterator[None]:
    """Within it SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, so that `finally` and `with` clean up."""
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup asks for exactly this: to outlive the terminal.
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
