"""A flag that says "this worker stops": set in the parent process, read by its children between two compiled calls."""

from __future__ import annotations

import mmap


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
