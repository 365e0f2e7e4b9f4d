"""Who may end whose leases, where hosts are containers: a container ends those of its own earlier run, never those of another."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from service.store import workers
from service.store.workers import SILENT_BEATS, Process

HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = SILENT_BEATS * HEARTBEAT_SECONDS
ITS_PID = 7  # in every container the worker gets the same


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let this process be in a container with this host name and these process ids, on a machine of this boot."""

    def enter(host: str, pids: str, boot: str = "boot-1") -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: host)
        monkeypatch.setattr(workers, "boot_id", lambda: boot)
        monkeypatch.setattr(workers.os, "readlink", lambda _: f"pid:[{pids}]")

    return enter


def expire_dead(scene, started: int = 2) -> int:
    """Expire as a worker does whose process, the only one to be seen, has pid 7 and started at tick `started`."""
    seen = {ITS_PID: Process(ITS_PID, started)}
    return workers.expire_dead(scene.store, seen.get, heartbeat_seconds=HEARTBEAT_SECONDS)


def test_a_restarted_container_ends_the_leases_of_its_dead_predecessor_though_pids_repeat(scene, enter) -> None:
    enter("c0ffee", "41")
    scene.job()
    scene.claim(scene.register(ITS_PID))
    assert expire_dead(scene, started=1) == 0
    assert expire_dead(scene, started=2) == 1


def test_a_restarted_container_whose_pids_have_another_space_ends_them_after_three_heartbeats(scene, enter) -> None:
    enter("c0ffee", "41")
    scene.job()
    scene.claim(scene.register(ITS_PID))
    enter("c0ffee", "42")
    scene.clock.step(SILENCE_SECONDS - 1)
    assert expire_dead(scene) == 0
    scene.clock.step(2)
    assert expire_dead(scene) == 1
    assert workers.heard_of(scene.store, HEARTBEAT_SECONDS) == 0


def test_two_containers_of_one_name_never_end_each_others_leases(scene, enter) -> None:
    enter("worker", "41")
    scene.job()
    first = scene.register(ITS_PID)
    scene.claim(first)
    enter("worker", "42")
    for _ in range(10):
        scene.clock.step(HEARTBEAT_SECONDS)
        workers.beat(scene.store, first)
        assert expire_dead(scene) == 0


def test_a_silent_worker_of_another_host_is_left_to_its_lease(scene, enter) -> None:
    enter("c0ffee", "41")
    scene.job()
    scene.claim(scene.register(ITS_PID))
    enter("decade", "42")
    scene.clock.step(SILENCE_SECONDS + 1)
    assert expire_dead(scene) == 0


def test_another_boot_ends_leases_at_once_where_the_database_has_one_machine(scene, enter) -> None:
    """On Postgres it may be another machine of the same name, so its silence is waited for."""
    enter("laptop", "41", "boot-1")
    scene.job()
    scene.claim(scene.register(ITS_PID))
    enter("laptop", "41", "boot-2")
    assert expire_dead(scene, started=1) == (1 if scene.store.is_sqlite else 0)


def test_only_workers_of_this_host_that_beat_are_heard_of(scene, enter) -> None:
    enter("c0ffee", "41")
    worker = scene.register(ITS_PID)
    assert workers.heard_of(scene.store, HEARTBEAT_SECONDS) == 1
    scene.clock.step(SILENCE_SECONDS + 1)
    assert workers.heard_of(scene.store, HEARTBEAT_SECONDS) == 0
    workers.beat(scene.store, worker)
    assert workers.heard_of(scene.store, HEARTBEAT_SECONDS) == 1
    enter("decade", "42")
    assert workers.heard_of(scene.store, HEARTBEAT_SECONDS) == 0
