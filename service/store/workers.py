"""Worker processes: who is alive, and whose leases end at once because their process is gone."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from service.store.clock import boot_id
from service.store.database import Store
from service.store.ids import new_id
from service.store.models import Job, Worker

FORGET_SECONDS = 86400.0


@dataclass(frozen=True)
class Process:
    """A process of this machine, told from any later one with the same pid."""

    pid: int
    started: int


def process(pid: int) -> Process | None:
    """The process with this pid, or None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _process_without_proc(pid)
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def _process_without_proc(pid: int) -> Process | None:
    """Where there is no /proc: alive or not is all that can be known."""
    import os

    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return Process(pid, 0)


def register(store: Store, worker_process: Process, fingerprint: str) -> str:
    """Add this process to the workers; answer its id."""
    with store.write() as session:
        now = store.now(session)
        worker = Worker(
            id=new_id("worker"),
            host=socket.gethostname(),
            boot_id=boot_id(),
            pid=worker_process.pid,
            pid_started=worker_process.started,
            fingerprint=fingerprint,
            started_at=now,
            heartbeat_at=now,
        )
        session.add(worker)
        session.execute(sa.delete(Worker).where(Worker.heartbeat_at < now - FORGET_SECONDS))
        return worker.id


def beat(store: Store, worker_id: str) -> None:
    """Say that a worker is alive."""
    with store.write() as session:
        session.execute(sa.update(Worker).where(Worker.id == worker_id).values(heartbeat_at=store.now(session)))


def leave(store: Store, worker_id: str) -> None:
    """Take a worker off the list: it stops."""
    with store.write() as session:
        session.execute(sa.delete(Worker).where(Worker.id == worker_id))


def expire_dead(store: Store, alive: Callable[[int], Process | None] = process) -> int:
    """End the leases of this host's workers whose process is gone or of an earlier boot; answer how many leases ended.

    The reaper does the rest at its next round. Workers of other hosts are left alone.
    """
    with store.write() as session:
        here = session.scalars(sa.select(Worker).where(Worker.host == socket.gethostname())).all()
        boot = boot_id()
        dead = [worker.id for worker in here if worker.boot_id != boot or alive(worker.pid) != Process(worker.pid, worker.pid_started)]
        ended = sa.update(Job).where(Job.worker_id.in_(dead), Job.lease_until.is_not(None)).values(lease_until=0.0)
        count = len(session.scalars(ended.returning(Job.id)).all())
        session.execute(sa.delete(Worker).where(Worker.id.in_(dead)))
        return count
