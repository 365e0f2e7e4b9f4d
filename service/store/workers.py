"""Worker processes: who is alive, and whose leases end at once because their process is gone.

A process id means something only where it was given: on one run of one machine's kernel, and there in one container of it. Containers
have host names of their own unless somebody gave two of them the same; then, as with two machines of the same name, neither can look
for the other's processes, and only silence tells that one is dead.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.store.clock import boot_id
from service.store.database import Store
from service.store.ids import new_id
from service.store.models import Environment, Job, Worker

FORGET_SECONDS = 86400.0
SILENT_BEATS = 3  # a worker that left out so many heartbeats is taken for dead where its process cannot be seen


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
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return Process(pid, 0)


def pid_space() -> str:
    """What names the space in which process ids of this process mean something: this boot, and the container we are in."""
    try:
        return f"{boot_id()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return boot_id()


def register(store: Store, worker_process: Process, fingerprint: str, environment: Mapping[str, Any] | None = None) -> str:
    """Add this process to the workers; answer its id. environment: what the fingerprint is the digest of."""
    with store.write() as session:
        now = store.now(session)
        if environment is not None:
            seen = store.insert(Environment).values(fingerprint=fingerprint, parts=dict(environment), first_seen_at=now)
            session.execute(seen.on_conflict_do_nothing())
        worker = Worker(
            id=new_id("worker"),
            host=socket.gethostname(),
            boot_id=pid_space(),
            pid=worker_process.pid,
            pid_started=worker_process.started,
            fingerprint=fingerprint,
            started_at=now,
            heartbeat_at=now,
        )
        session.add(worker)
        session.execute(sa.delete(Worker).where(Worker.heartbeat_at < now - FORGET_SECONDS))
        return worker.id


def environment_of(store: Store, fingerprint: str) -> dict[str, Any] | None:
    """What this fingerprint is the digest of; None where no worker has said so."""
    with store.read() as session:
        return session.scalar(sa.select(Environment.parts).where(Environment.fingerprint == fingerprint))


def beat(store: Store, worker_id: str) -> None:
    """Say that a worker is alive."""
    with store.write() as session:
        session.execute(sa.update(Worker).where(Worker.id == worker_id).values(heartbeat_at=store.now(session)))


def leave(store: Store, worker_id: str) -> None:
    """Take a worker off the list: it stops."""
    with store.write() as session:
        session.execute(sa.delete(Worker).where(Worker.id == worker_id))


def expire_dead(store: Store, alive: Callable[[int], Process | None] = process, *, heartbeat_seconds: float = 5.0) -> int:
    """End the leases of workers of this host that are gone; answer how many leases ended. The reaper does the rest at its next round.

    Gone is a worker whose process is not there, or, where that cannot be seen (an earlier run of this machine or of this container; a
    namesake), one that left out three heartbeats. Workers of other hosts are left alone.
    """
    with store.write() as session:
        here, now = pid_space(), store.now(session)

        def is_dead(worker: Worker) -> bool:
            if worker.boot_id == here:
                return alive(worker.pid) != Process(worker.pid, worker.pid_started)
            if store.is_sqlite and not worker.boot_id.startswith(boot_id()):
                return True  # the one machine that can open this database has been started anew
            return now - worker.heartbeat_at > SILENT_BEATS * heartbeat_seconds

        namesakes = session.scalars(sa.select(Worker).where(Worker.host == socket.gethostname())).all()
        dead = [worker.id for worker in namesakes if is_dead(worker)]
        ended = sa.update(Job).where(Job.worker_id.in_(dead), Job.lease_until.is_not(None)).values(lease_until=0.0)
        count = len(session.scalars(ended.returning(Job.id)).all())
        session.execute(sa.delete(Worker).where(Worker.id.in_(dead)))
        return count


def heard_of(store: Store, heartbeat_seconds: float) -> int:
    """How many workers of this host were heard of within the last three heartbeats."""
    with store.read() as session:
        recent = Worker.heartbeat_at >= store.now(session) - SILENT_BEATS * heartbeat_seconds
        query = sa.select(sa.func.count()).select_from(Worker).where(Worker.host == socket.gethostname(), recent)
        return session.scalars(query).one()
