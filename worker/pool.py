"""Celery's pool, whose children may be killed at any moment.

Where the broker has no event loop (the folder), the children share one pipe of messages, and the one that waits for the next holds a
semaphore meanwhile. Killed, it would hold it for ever, and no child would hear of work again. A lock that the kernel lets go with its
process takes the semaphore's place.
"""

from __future__ import annotations

import fcntl
import os
import tempfile

from celery.concurrency import prefork


class ProcessLock:
    """A lock between processes that share it by a fork; whoever dies lets go of it. Not between threads of one process."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())  # it lives as long as the process

    def acquire(self) -> None:
        """Wait for the lock, and take it."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let go of it."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


class BlockingPool(prefork.BlockingPool):  # type: ignore[misc]
    """Celery's for brokers without an event loop."""

    def _setup_queues(self) -> None:
        super()._setup_queues()
        self._inqueue._rlock, self._outqueue._wlock = ProcessLock(), ProcessLock()


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """Celery's, with the pool above."""

    BlockingPool = BlockingPool
