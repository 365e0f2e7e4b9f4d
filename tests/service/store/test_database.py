"""The two kinds of transaction, and what happens when the database is locked, slow, full or gone."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing

import pytest
import sqlalchemy as sa

from service.store import blobs, checkpoints, claims, database, jobs
from service.store.database import Store
from service.store.errors import LostClaim, StorageFull, StoreBusy
from service.store.models import Installation, Job, Tenant


def woken_at(store):
    with store.read() as session:
        return session.get_one(Installation, 1).woken_at


def set_woken_at(store, value, setting="SELECT 1"):
    with store.write() as session:
        session.execute(sa.text(setting))
        session.execute(sa.update(Installation).values(woken_at=value))


def cut(postgres_server, pid):
    """End the connection that this server process serves."""
    with sa.create_engine(postgres_server, poolclass=sa.NullPool).connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


class TestTransactions:
    def test_a_write_that_raises_leaves_nothing_behind(self, store):
        def change_and_raise():
            with store.write() as session:
                session.execute(sa.update(Installation).values(woken_at=5.0))
                raise LostClaim("job")

        with pytest.raises(LostClaim):
            change_and_raise()
        assert woken_at(store) == 0

    def test_a_read_sees_one_moment(self, store, another_store):
        """What is committed while it reads is not there for it."""
        other = another_store()
        with store.read() as session:
            before = session.scalar(sa.select(Installation.woken_at))
            set_woken_at(other, 5.0)
            assert session.scalar(sa.select(Installation.woken_at)) == before
        assert woken_at(store) == 5.0

    def test_a_job_is_read_as_it_was_in_one_moment(self, scene, another_store, monkeypatch):
        """Its row says queued: then it is in the queue, although a worker claims it while it is read."""
        job_id = scene.job()
        place = jobs._place

        def read_slowly(session, found, now):
            claims.claim(another_store(), "worker", "cpu", 30)
            return place(session, found, now)

        monkeypatch.setattr(jobs, "_place", read_slowly)
        detail = jobs.get(scene.store, "default", job_id)
        assert (detail.job.state, detail.jobs_ahead) == ("queued", 0)
        assert scene.row(job_id).state == "running"

    def test_a_read_writes_nothing(self, store):
        with store.read() as session:
            session.execute(sa.update(Installation).values(woken_at=5.0))
        assert woken_at(store) == 0

    def test_a_row_that_names_what_is_not_there_is_refused(self, store):
        """Foreign keys are enforced on SQLite too."""
        with pytest.raises(sa.exc.IntegrityError), store.write() as session:
            session.execute(sa.text("INSERT INTO job_spec (job_id, spec) VALUES ('job_none', '{}')"))


class TestSqlite:
    @pytest.fixture
    def store(self, sqlite_url):
        opened = Store(sqlite_url)
        yield opened
        opened.close()

    @pytest.mark.parametrize(
        ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("auto_vacuum", 2), ("busy_timeout", 10000)]
    )
    def test_every_connection_has_its_pragmas(self, store, pragma, value):
        with store.read() as first, store.read() as second:
            for session in (first, second):
                assert session.scalar(sa.text(f"PRAGMA {pragma}")) == value

    def test_a_lock_of_two_seconds_is_waited_for(self, store, sqlite_url):
        locker = sqlite3.connect(sa.make_url(sqlite_url).database, check_same_thread=False)
        locker.execute("BEGIN EXCLUSIVE")
        threading.Timer(2, locker.rollback).start()
        started = time.monotonic()

        set_woken_at(store, 5.0)

        assert 1.5 < time.monotonic() - started < 9
        assert woken_at(store) == 5.0
        locker.close()

    def test_writers_of_one_process_do_not_sleep_for_each_other(self, store, monkeypatch):
        """The next begins when the last has ended, however long SQLite would let it sleep."""
        naps = []
        monkeypatch.setattr(database.time, "sleep", naps.append)
        threads = [threading.Thread(target=set_woken_at, args=(store, float(at))) for at in range(8)]
        with store.write():
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(10)

        assert not naps
        assert woken_at(store) in range(8)

    def test_a_new_file_that_another_is_writing_to_is_waited_for(self, tmp_path):
        with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("CREATE TABLE first (number INTEGER)")
            ending = threading.Timer(0.5, other.commit)
            ending.start()
            opened = Store(f"sqlite:///{tmp_path}/new.db")
            with opened.engine.connect() as connection:  # makes it WAL, for which SQLite itself does not wait here
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            opened.close()
            ending.join()

    def test_a_longer_lock_is_told_as_busy_and_reads_go_on(self, store, sqlite_url, monkeypatch):
        monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
        locker = sqlite3.connect(sa.make_url(sqlite_url).database)
        locker.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreBusy):
            set_woken_at(store, 5.0)
        assert woken_at(store) == 0

        locker.rollback()
        locker.close()
        set_woken_at(store, 5.0)
        assert woken_at(store) == 5.0

    def test_a_full_disk_is_told_as_such_and_what_was_there_can_be_read(self, sqlite_url, tmp_path):
        store = Store(sqlite_url)
        with store.read() as session:
            pages = session.scalar(sa.text("PRAGMA page_count"))
        sa.event.listen(store.engine, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages + 20}"))
        store.close()

        with pytest.raises(StorageFull):
            blobs.write(store, [b"x" * 40_000, b"x" * 200_000])
        assert woken_at(store) == 0
        set_woken_at(store, 5.0)  # there is room for a little
        assert woken_at(store) == 5.0
        store.close()

    def test_pages_that_deletes_left_are_given_back_to_the_disk(self, store, sqlite_url):
        def pages(name):
            with store.read() as session:
                return session.scalar(sa.text(f"PRAGMA {name}"))

        blob_id = blobs.write(store, [b"x" * 3_000_000])
        before = pages("page_count")
        blobs.remove(store, [blob_id])
        assert pages("freelist_count") > 700

        store.give_back_pages()

        assert pages("freelist_count") == 0
        assert pages("page_count") < before - 700

    def test_a_file_that_is_no_database_is_told_as_one_that_cannot_be_read(self, tmp_path):
        path = tmp_path / "sankofa.db"
        path.write_bytes(b"this is no database, whatever its name says. " * 50)
        store = Store(f"sqlite:///{path}")
        with pytest.raises(StoreBusy, match="cannot be read"):
            woken_at(store)
        store.close()


class TestPostgres:
    @pytest.fixture
    def store(self, postgres_url):
        opened = Store(postgres_url)
        yield opened
        opened.close()

    def test_a_lock_of_two_seconds_is_waited_for(self, store, postgres_url):
        locker, locked, started = Store(postgres_url), threading.Event(), time.monotonic()

        def lock():
            with locker.write() as session:
                session.execute(sa.select(Installation).with_for_update())
                locked.set()
                time.sleep(2)

        thread = threading.Thread(target=lock)
        thread.start()
        locked.wait(10)
        set_woken_at(store, 5.0)
        thread.join()
        locker.close()
        assert time.monotonic() - started > 1.5
        assert woken_at(store) == 5.0

    @pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
    def test_a_longer_lock_is_told_as_busy_and_reads_go_on(self, store, postgres_url, setting):
        locker = Store(postgres_url)
        with locker.write() as holding:
            holding.execute(sa.select(Installation).with_for_update())
            with pytest.raises(StoreBusy):
                set_woken_at(store, 5.0, f"SET LOCAL {setting} = 200")
            assert woken_at(store) == 0
        set_woken_at(store, 5.0)
        assert woken_at(store) == 5.0
        locker.close()

    def test_a_connection_that_was_cut_is_replaced(self, store, postgres_server):
        with store.read() as session:
            pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
        cut(postgres_server, pid)
        set_woken_at(store, 5.0)
        assert woken_at(store) == 5.0

    def test_a_connection_that_is_cut_in_a_write_is_told_as_busy(self, store, postgres_server):
        def be_cut():
            with store.write() as session:
                session.execute(sa.update(Installation).values(woken_at=5.0))
                cut(postgres_server, session.scalar(sa.text("SELECT pg_backend_pid()")))

        with pytest.raises(StoreBusy):
            be_cut()
        assert woken_at(store) == 0

    def test_a_server_that_is_not_there_is_told_as_busy(self):
        store = Store("postgresql+psycopg://root@127.0.0.1:9/nothing")
        with pytest.raises(StoreBusy):
            woken_at(store)

    def test_a_deadlock_is_told_as_busy(self, store, postgres_url):
        """The protocol has none; should one come, a caller may try again."""
        other = Store(postgres_url)
        crossed = threading.Barrier(2)
        updates = (sa.update(Installation).values(woken_at=1.0), sa.update(Tenant).values(used_at=1.0))
        answers = []

        def update_both(which, first, second):
            try:
                with which.write() as session:
                    session.execute(sa.text("SET LOCAL deadlock_timeout = 100"))
                    session.execute(first)
                    crossed.wait(10)
                    session.execute(second)
                answers.append("written")
            except StoreBusy:
                answers.append("busy")

        threads = [
            threading.Thread(target=update_both, args=(store, *updates)),
            threading.Thread(target=update_both, args=(other, *reversed(updates))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ["busy", "written"]
        other.close()


def test_when_no_connection_becomes_free_it_is_told_as_busy(store):
    store.engine.pool._timeout = 0.1
    sessions = [store.read() for _ in range(store.engine.pool.size() + store.engine.pool._max_overflow)]
    for session in sessions:
        session.__enter__().execute(sa.text("SELECT 1"))
    with pytest.raises(StoreBusy, match="connection"):
        woken_at(store)
    for session in sessions:
        session.__exit__(None, None, None)
    assert woken_at(store) == 0


def test_a_job_survives_a_full_disk_in_its_checkpoint(scene, monkeypatch):
    """The worker is told, and may go on without; the job is still its own."""
    scene.job()
    claim = scene.claim()

    def full(store, pieces, between):
        raise StorageFull("The database could not write: no room left on its device.")

    monkeypatch.setattr(blobs, "write", full)
    with pytest.raises(StorageFull):
        checkpoints.save(scene.store, claim, 5, 0, b"state")
    assert claims.renew(scene.store, claim, 30) == "running"
    with scene.store.read() as session:
        assert session.scalars(sa.select(Job.losses)).one() == 0


class TestJSON:
    """What a JSON column holds comes back as it was, whatever wrote it."""

    @pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "\u00fc"]}, {"seed": 2**63 - 1}, {"rate": 5e-324}])
    def test_comes_back_as_it_was(self, store, scene, value):
        job_id = scene.job()
        with store.write() as session:
            session.execute(sa.update(Job).where(Job.id == job_id).values(tags=value))
        with store.read() as session:
            assert session.scalar(sa.select(Job.tags).where(Job.id == job_id)) == value
