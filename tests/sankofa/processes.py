"""Looking at the processes of a service from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(promise: Callable[[], Any], seconds: float = 20.0) -> float:
    """Wait for it; the seconds it took."""
    started = time.monotonic()
    while not promise():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - started


def processes_of(data_dir: Path) -> list[int]:
    """Every living process that was started for this data folder, whoever its parent is by now."""
    mark = f"SANKOFA_DATA_DIR={data_dir.resolve()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
