"""Worker processes: whose lease ends at once because its process is gone, and whose must not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import sqlalchemy as sa

from service.store import claims, reaping, workers
from service.store.models import Worker
from service.store.workers import Process, process


def owned_by(scene, **columns):
    """A worker that is this process, but for what `columns` say in its row, and its claim of a job."""
    worker_id = workers.register(scene.store, process(os.getpid()), "cpu")
    if columns:
        with scene.store.write() as session:
            session.execute(sa.update(Worker).where(Worker.id == worker_id).values(columns))
    scene.job()
    return worker_id, scene.claim(worker_id)


def listed(scene):
    with scene.store.read() as session:
        return set(session.scalars(sa.select(Worker.id)))


def lost(scene, claim):
    """Whether the reaper takes the claim's job at once."""
    return claim.job_id in {one.job_id for one in reaping.reap(scene.store, max_losses=5)}


class TestProcess:
    def test_this_one_is_alive(self):
        own = process(os.getpid())
        assert own.pid == os.getpid()
        assert own == process(os.getpid())

    def test_one_that_ended_is_not_whether_waited_for_or_not(self):
        child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
        assert process(child.pid) is not None
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie
        assert process(child.pid) is None
        child.wait()
        child.stdout.close()
        assert process(child.pid) is None

    def test_a_later_one_with_the_same_pid_is_another(self):
        own = process(os.getpid())
        assert own != Process(own.pid, own.started - 1)


class TestExpireDead:
    def test_a_living_process_keeps_its_lease_however_long_it_was_silent(self, scene):
        worker_id, claim = owned_by(scene)
        scene.clock.step(20)
        assert workers.expire_dead(scene.store, heartbeat_seconds=1) == 0
        assert not lost(scene, claim)
        assert listed(scene) == {worker_id}

    @pytest.mark.parametrize(
        "columns",
        [{"pid_started": 12345}, {"pid": 2**22 + 1}, {"boot_id": "an earlier boot", "heartbeat_at": 0.0}],
        ids=["another process with its pid", "no such process", "an earlier boot"],
    )
    def test_the_lease_of_one_that_is_gone_ends_at_once(self, scene, columns):
        _, claim = owned_by(scene, **columns)
        assert not lost(scene, claim)
        assert workers.expire_dead(scene.store) == 1
        assert lost(scene, claim)
        assert listed(scene) == set()
        assert scene.row(claim.job_id).losses == 1

    def test_its_late_write_is_refused_only_once_the_reaper_has_been(self, scene):
        """A lease that ended is not a fence that was raised: a worker that lives after all loses nothing until then."""
        _, claim = owned_by(scene, pid_started=12345)
        workers.expire_dead(scene.store)
        assert claims.renew(scene.store, claim, 30) == "running"
        assert not lost(scene, claim)

    def test_a_worker_of_another_host_is_left_alone(self, scene):
        worker_id, claim = owned_by(scene, host="elsewhere", pid_started=12345, heartbeat_at=0.0)
        assert workers.expire_dead(scene.store) == 0
        assert not lost(scene, claim)
        assert listed(scene) == {worker_id}

    def test_a_namesake_in_another_container_is_dead_only_when_it_is_silent(self, scene):
        space = f"{workers.boot_id()} pid:[1]"
        _, claim = owned_by(scene, boot_id=space, pid=1, pid_started=12345)
        scene.clock.step(14)
        assert workers.expire_dead(scene.store, heartbeat_seconds=5) == 0
        scene.clock.step(2)
        assert workers.expire_dead(scene.store, heartbeat_seconds=5) == 1
        assert lost(scene, claim)

    def test_jobs_without_an_owner_have_nothing_to_lose(self, scene):
        worker_id, claim = owned_by(scene, pid_started=12345)
        claims.release(scene.store, claim, scene.progress(1))
        assert workers.expire_dead(scene.store) == 0
        assert worker_id not in listed(scene)
        assert scene.row(claim.job_id).state == "queued"


def test_a_worker_that_leaves_is_no_longer_listed(scene):
    first, second = scene.register(1), scene.register(2)
    workers.leave(scene.store, first)
    assert listed(scene) == {second}


def test_workers_that_were_silent_for_a_day_are_forgotten(scene):
    silent, heard = scene.register(1), scene.register(2)
    scene.clock.step(workers.FORGET_SECONDS - 10)
    workers.beat(scene.store, heard)
    scene.clock.step(20)
    newest = scene.register(3)
    assert listed(scene) == {heard, newest}
    assert silent not in listed(scene)


def test_workers_heard_of_are_those_of_this_host_within_three_heartbeats(scene):
    scene.register(1)
    scene.clock.step(10)
    scene.register(2)
    elsewhere = scene.register(3)
    with scene.store.write() as session:
        session.execute(sa.update(Worker).where(Worker.id == elsewhere).values(host=socket.gethostname() + "2"))
    assert workers.heard_of(scene.store, heartbeat_seconds=5) == 2
    scene.clock.step(10)
    assert workers.heard_of(scene.store, heartbeat_seconds=5) == 1
