"""The processes of a service on one machine: started, watched, started again when they die, and never left behind."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sankofa.errors import InstallationFault
from sankofa.process import Guardian, LineSink, Part, Process, describe_exit

LOOK_SECONDS = 0.1
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 0.8
# A process that lived less than this has died at once; after MAX_QUICK_DEATHS of these in a row the supervisor gives up.
QUICK_SECONDS = 3.0
MAX_QUICK_DEATHS = 5


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
