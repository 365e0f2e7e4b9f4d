"""How a worker stops: a flag that its children read between two compiled calls, and a way out that waits for nothing else."""

from __future__ import annotations

import mmap
import os
import threading
import time

from billiard.process import active_children
from celery.worker import state

LOOK_SECONDS = 0.05
ACKNOWLEDGED_SECONDS = 0.1  # a message in work is done with a moment before its acknowledgement is sent


class StopFlag:
    """One byte of memory that processes share across a fork."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Ask for the stop."""
        self._byte[0] = 1

    def is_set(self) -> bool:
        """Whether the stop was asked for."""
        return self._byte[0] == 1


def leave_when_released(asked: threading.Event) -> None:
    """End this parent process with exit code 0 once `asked` is set, its children have released their jobs, and they are gone.

    To be run in a thread. Celery does the same by itself meanwhile, 4 to 8 seconds slower and for no reason of ours: with a folder as
    broker its loop looks up every 2 s, and the threads of its pool and its timer sleep for up to 1 s each before they are joined, one
    after the other. If anything here takes longer (a child that does not look up), Celery's own end comes first, or the supervisor's.

    A message that is in work holds a job, or may; when there is none, every job was released and every message acknowledged. One that
    arrives later is answered by its child at once, or lost: it carries no job.
    """
    asked.wait()
    while state.reserved_requests:
        time.sleep(LOOK_SECONDS)
    time.sleep(ACKNOWLEDGED_SECONDS)
    children = active_children()
    for child in children:
        child.terminate()
    while any(_is_running(child.pid) for child in children):
        time.sleep(LOOK_SECONDS)
    os._exit(0)


def _is_running(pid: int) -> bool:
    """Whether this child runs; it is not reaped here, Celery's pool does that."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
