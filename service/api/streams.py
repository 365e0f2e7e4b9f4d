"""Requests that stay for long: event streams and long polls. They hold a thread each, so a process carries only so many."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.api.problems import busy
from service.settings import Settings


class Streams:
    """The streams and long polls of this process. All of them end when it is asked to stop."""

    def __init__(self, settings: Settings) -> None:
        self.limit = max(1, min(settings.api_streams, settings.api_threads - 1))
        self._free = threading.BoundedSemaphore(self.limit)
        self._closing = threading.Event()

    def enter(self) -> Callable[[], None]:
        """Take a place; answer what gives it back, which may be called more than once. Raises Refusal (503) when all are taken."""
        if self._closing.is_set() or not self._free.acquire(blocking=False):
            raise busy(f"This process already carries {self.limit} event streams and long polls.", "too_many_streams")
        given_back = threading.Lock()

        def leave() -> None:
            if given_back.acquire(blocking=False):
                self._free.release()

        return leave

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for the time of a block."""
        leave = self.enter()
        try:
            yield
        finally:
            leave()

    def wait(self, seconds: float) -> bool:
        """Sleep; answer at once, with True, when this process is asked to stop."""
        return self._closing.wait(seconds)

    @property
    def closing(self) -> bool:
        """Whether this process is asked to stop."""
        return self._closing.is_set()

    def close(self) -> None:
        """End all streams and long polls, and take no more."""
        self._closing.set()

    def close_on_signal(self) -> None:
        """From now on, a signal that has a handler in this process closes the streams. To be called by the main thread.

        The server's own handler lets requests finish, and streams would never: the kernel's byte in the wakeup pipe reaches
        them whatever that handler does.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def watch() -> None:
            while os.read(reading, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
                pass
            self.close()

        threading.Thread(target=watch, name="streams-closer", daemon=True).start()
