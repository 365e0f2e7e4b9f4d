"""A small process that outlives a killed supervisor, and kills what is left of its children.

`python guardian.py` reads lines, `+GROUP` and `-GROUP`, and waits for the end of its input, which comes when the supervisor is gone
for whatever reason. The children of a supervisor end by themselves then, in good order; this is for those that do not, and for what
they forked.
"""

import contextlib
import os
import signal
import sys
import time

# What the children have to end by themselves: they look 5 times a second, and give themselves 0.8 s.
GRACE_SECONDS = 1.1


def main() -> None:
    """Follow the input to its end, then kill."""
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    deadline = time.monotonic() + GRACE_SECONDS
    while groups and time.monotonic() < deadline:
        groups = {group for group in groups if is_alive(group)}
        time.sleep(0.05)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def is_alive(group: int) -> bool:
    """Whether any process of the group is left. A group's number cannot become another's while one is."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
