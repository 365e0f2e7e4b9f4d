"""Time for leases and queue order: seconds since 1970 by a clock that cannot jump while the machine runs.

Postgres asks its own `clock_timestamp()`, so workers on several machines agree. SQLite lives on one machine: there the
kernel's time since boot is read, plus an offset that the first process after a boot writes into the `installation` row.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path


def boot_id() -> str:
    """What names this run of the machine's kernel; times since boot of two boots cannot be compared."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux: the wall-clock time of boot, coarse enough to be stable
        return f"boot-{round((time.time() - since_boot()) / 60)}"


def since_boot() -> float:
    """Seconds since the machine was booted, sleep included; wall-clock corrections do not move it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds: 2026-01-31T12:00:00.000Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
