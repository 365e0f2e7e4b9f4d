"""A process that ends when the process that started it is gone, however that one ended.

A supervisor that is killed with SIGKILL can stop nobody; so each of its children looks for itself, five times a second, whether its
parent is still the one that started it, and ends in good order. What a child leaves behind is the guardian's (sankofa/guardian.py).
Portable, and independent of who forked from which thread (PR_SET_PDEATHSIG fires when the *thread* that forked ends, which Celery's
pool threads do).
"""

from __future__ import annotations

import os
import signal
import threading
import time

# Set by a supervisor for its children: the process id they must find as their parent.
PARENT_VARIABLE = "SANKOFA_PARENT_PID"

LOOK_SECONDS = 0.2
GRACE_SECONDS = 0.8


def exit_with_parent(parent: int | None = None, *, grace_seconds: float = GRACE_SECONDS) -> bool:
    """Watch the parent from now on in a daemon thread; True when there is one to watch.

    parent: its process id. Left out, the id in SANKOFA_PARENT_PID, which is taken out of the environment so that grandchildren do not
    mistake it for theirs; without that variable nobody supervises this process, and nothing is watched.
    When the parent is gone (also when it went before this call) the process sends itself SIGTERM, and after `grace_seconds` ends at
    once, with its whole process group where it leads one. To be called again after a fork: threads do not survive it.
    """
    if parent is None:
        text = os.environ.pop(PARENT_VARIABLE, "")
        if not text:
            return False
        parent = int(text)
    threading.Thread(target=_watch, args=(parent, grace_seconds), name="exit-with-parent", daemon=True).start()
    return True


def _watch(parent: int, grace_seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    # Only a leader may take its group along: another's group can hold processes that have nothing to do with us.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
