"""The store's clock: it never jumps, not by wall-clock corrections and not across a reboot."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from service.store import database, jobs, reaping
from service.store.database import Store
from service.store.models import Installation, Tenant


@pytest.fixture
def open_sqlite(sqlite_url):
    """Opens stores on one SQLite database."""
    opened = []

    def open_store():
        opened.append(Store(sqlite_url))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def now(store):
    with store.read() as session:
        return store.now(session)


def set_wall_clock(monkeypatch, step):
    wall = time.time() + step
    monkeypatch.setattr(time, "time", lambda: wall)


def test_the_clock_says_about_what_the_wall_says(store):
    assert abs(now(store) - time.time()) < 2


def test_the_clock_moves_on_within_a_transaction(store):
    with store.write() as session:
        first = store.now(session)
        time.sleep(0.02)
        assert 0.02 <= store.now(session) - first < 5


def test_the_first_request_of_a_process_does_not_wait_for_itself(scene, another_store):
    job_id = scene.job()
    started = time.monotonic()

    jobs.request(another_store(), "default", job_id, "pause")

    assert time.monotonic() - started < 2
    assert scene.row(job_id).state == "paused"


def test_wall_clock_steps_do_not_move_it(open_sqlite, monkeypatch):
    first = now(open_sqlite())
    for step in (-3600, 3600):
        set_wall_clock(monkeypatch, step)
        assert 0 <= now(open_sqlite()) - first < 5
        monkeypatch.undo()


def test_processes_of_one_boot_agree_to_the_millisecond(sqlite_url):
    program = (
        "import sys, time\n"
        "from service.store.clock import since_boot\n"
        "from service.store.database import Store\n"
        "store = Store(sys.argv[1])\n"
        "with store.read() as session: print(store.now(session) - since_boot())\n"
        "store.close()\n"
    )
    command = [sys.executable, "-c", program, sqlite_url]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    offsets = [float(process.communicate(timeout=60)[0]) for process in running]
    assert max(offsets) - min(offsets) < 0.001


@pytest.mark.parametrize("wall_step", [0.0, -7200.0, 7200.0])
def test_a_reboot_never_sets_it_back(open_sqlite, monkeypatch, wall_step):
    """Also where the machine comes up with its wall clock two hours slow; leases of before then end as if it had not."""
    before = open_sqlite()
    with before.write() as session:
        at = before.now(session)
        session.execute(sa.update(Tenant).values(used_at=at))

    booted = time.monotonic()
    monkeypatch.setattr(database, "boot_id", lambda: "the next boot")
    monkeypatch.setattr(database, "since_boot", lambda: time.monotonic() - booted)
    set_wall_clock(monkeypatch, wall_step)
    after = now(open_sqlite())

    assert at <= after < at + max(wall_step, 0) + 5


def test_the_offset_is_written_once_for_a_boot(open_sqlite):
    first = open_sqlite()
    now(first)
    with first.read() as session:
        written = session.get_one(Installation, 1).clock_offset
    second = open_sqlite()
    with second.write() as session:  # were it written again, this would be another transaction's and wait
        now(second)
        assert session.get_one(Installation, 1).clock_offset == written


def test_a_wake_is_sent_again_after_the_clock_was_set_back(scene):
    scene.job()
    assert reaping.may_wake(scene.store, 5)
    scene.clock.step(-3600)
    assert reaping.may_wake(scene.store, 5)
    assert not reaping.may_wake(scene.store, 5)


@pytest.mark.parametrize("back_seconds", [1.0, 3600.0, 7200.0])
def test_claims_and_charges_go_on_after_the_clock_was_set_back(scene, back_seconds):
    """A tenant's recent seconds fade by 1 + elapsed / 3600, which must not become nothing or less."""
    scene.job()
    scene.record_seconds(scene.claim(), 100.0)
    scene.clock.step(-back_seconds)
    scene.job()

    claim = scene.claim()
    scene.record_seconds(claim, 10.0)

    with scene.store.read() as session:
        assert session.get_one(Tenant, "default").used_seconds == pytest.approx(110.0)


def test_a_store_takes_the_clock_it_is_given(store_url):
    store = Store(store_url, clock=lambda: 12.5)
    with store.write() as session:
        assert store.now(session) == 12.5
    store.close()
