"""One process of the service, started to be ended again: with all that it forked, and even when we are killed first.

Every process leads a session of its own, so that a Ctrl-C in the terminal reaches only us, and everything it forked can be killed with
it. If we are killed ourselves, it ends by itself (SANKOFA_PARENT_PID, see service/parent.py), and a guardian, told of every group,
kills what is left (guardian.py).
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sankofa.errors import InstallationFault

# service/parent.py reads it; a test holds the two together.
PARENT_VARIABLE = "SANKOFA_PARENT_PID"

# What the service writes (datasets, messages, compiled kernels) is its user's alone.
PRIVATE_UMASK = 0o077

TAIL_LINES = 20
EXIT_TOLD = 2
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
                umask=PRIVATE_UMASK,
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


def run_to_end(part: Part, on_line: LineSink) -> float:
    """Run a part that is to end by itself; the seconds it took. Raises InstallationFault, with its last lines, when it fails.

    A part that ends with EXIT_TOLD has said in its last line what is wrong and what to do: that line is the message.
    """
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
    if code == EXIT_TOLD and process.tail:
        raise InstallationFault(process.tail[-1])
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
