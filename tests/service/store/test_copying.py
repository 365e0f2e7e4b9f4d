"""A copied installation: every value of every table, or nothing; and what is refused before anything is written."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from service.store import alone, blobs, copying, keys, migrate
from service.store.copying import NotCopied
from service.store.database import Store
from service.store.models import Base, BlobChunk, Checkpoint, Dataset, Job, Tenant, Worker
from service.store.states import State

ODD_TEXT = "\u00e4\U0001f600\u2028'\"\\%s\t"
ODD_FLOATS = (5e-324, 0.1 + 0.2, 1.7e9 + 1 / 3)
ODD_WHOLE = (-(2**63), 0, 2**63 - 1)
ODD_JSON = ('{"b": 1e5, "a": [1.0, 12345678901234567890123, "\\u0000\\ud800"], "b": null}', "null", '{"\u00e4": {}}')


@pytest.fixture(params=["sqlite to postgres", "postgres to sqlite", "sqlite to sqlite"])
def urls(request, tmp_path):
    """(source, target): an installation with nothing in it, and a database in which there is nothing at all."""
    source, target = request.param.split(" to ")
    fresh = f"sqlite:///{tmp_path}/fresh.db" if target == "sqlite" else request.getfixturevalue("fresh_postgres_url")
    return request.getfixturevalue(f"{source}_url"), fresh


@pytest.fixture
def open_store():
    """Opens stores, each closed at the end."""
    opened = []

    def open_(url):
        opened.append(Store(url))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def source(urls, open_store):
    return open_store(urls[0])


@pytest.fixture
def target(urls, open_store):
    return open_store(urls[1])


def fill(store):
    """Three rows in every table, of values that a careless copy would change; each names the row of the same number in other tables."""
    with store.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.delete(table))
        for table in Base.metadata.sorted_tables:
            stored = next(each for each in copying.TABLES if each.name == table.name)
            for number in range(1 if table.name == "installation" else 3):
                connection.execute(sa.insert(stored).values({column.name: odd(column, number) for column in table.c}))


def odd(column, number):
    """The value of a column in row `number`; NULL in the last one where it may be."""
    if (column.table.name, column.name) in copying.OF_THE_MACHINE:
        return copying.OF_THE_MACHINE[column.table.name, column.name]  # tested by itself
    if number == 2 and column.nullable:
        return None
    if column.foreign_keys:
        return odd(next(iter(column.foreign_keys)).column, number)
    match column.type:
        case sa.JSON():
            return ODD_JSON[number]
        case sa.Boolean():
            return number == 1
        case sa.LargeBinary():
            return bytes(range(256)) * number
        case sa.Float():
            return ODD_FLOATS[number]
        case sa.Integer():
            return ODD_WHOLE[number]
        case sa.String():
            return f"{number}{column.table.name if column.table.name != 'tenant' else ''}{column.name}{ODD_TEXT}"[
                -(column.type.length or 900) :
            ]
    raise AssertionError(column.type)


def contents(store):
    """Every row of every table, JSON as its text."""
    with store.engine.connect() as connection:
        return {table.name: sorted(map(repr, connection.execute(sa.select(table)))) for table in copying.TABLES}


def is_empty(store):
    """Whether there is nothing but what the first migration puts there."""
    with store.engine.connect() as connection:
        held = {table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in copying.TABLES}
    return {name: count for name, count in held.items() if count} == copying.PRESENT


def add_key(store):
    keys.register(store, "sk_of_somebody", "first")
    store.close()


def test_every_value_of_every_table_arrives(source, target):
    fill(source)
    before = contents(source)
    source.close()
    copied = copying.copy(source, target, with_damaged=True)
    assert contents(target) == before
    assert copied.rows == {name: len(rows) for name, rows in before.items()}
    assert set(copied.rows.values()) == {1, 3}
    assert migrate.is_current(target)


def test_no_column_draws_from_a_sequence_and_no_table_names_itself():
    """A sequence would have to be set on the target, and rows that name rows of their own table be copied in an order."""
    for table in Base.metadata.sorted_tables:
        assert table.autoincrement_column is None, table
        assert all(key.column.table is not table for column in table.c for key in column.foreign_keys), table


def test_what_belongs_to_the_machine_is_not_copied(source, target):
    with source.write() as session:
        session.execute(sa.text("UPDATE installation SET boot_id = 'this boot', clock_offset = 5.5, woken_at = 7.25"))
    source.close()
    copying.copy(source, target)
    with target.engine.connect() as connection:
        row = connection.execute(sa.text("SELECT boot_id, clock_offset, woken_at FROM installation")).one()
    assert tuple(row) == (None, 0.0, 7.25)


def test_a_copy_goes_on_where_the_source_stood(scene_on, urls, target):
    scene = scene_on(urls[0])
    key = "sk_of_somebody"
    keys.register(scene.store, key, "first")
    scene.job()
    claim = scene.claim()
    blob_id = blobs.write(scene.store, [b"state"])
    queued = scene.job(name="queued")
    scene.store.close()
    copying.copy(scene.store, target, with_damaged=True)  # the dataset has no bytes
    assert keys.identify(target, key).tenant_id == "default"
    assert b"".join(blobs.read(target, blob_id)) == b"state"
    with target.read() as session:
        assert session.get_one(Job, claim.job_id).state == State.RUNNING
        assert session.get_one(Job, queued).name == "queued"
    with target.engine.connect() as connection:
        assert target.now(connection) > scene.clock()


class TestWhatIsRefused:
    def test_a_target_that_holds_something(self, source, target):
        migrate.upgrade(target)
        add_key(target)
        with pytest.raises(NotCopied, match=r"holds rows already \(1 in api_key\).*--copy-to names a database that holds nothing"):
            copying.copy(source, target)
        assert keys.identify(target, "sk_of_somebody")

    @pytest.mark.parametrize("revision", ["0001", "tables without a revision"])
    def test_a_target_with_another_schema(self, source, target, revision):
        if revision == "0001":
            migrate.upgrade(target, revision)
        else:
            with target.engine.begin() as connection:
                connection.execute(sa.text("CREATE TABLE job (id INTEGER)"))
        target.close()
        with pytest.raises(NotCopied, match=f"has tables already, of the schema {revision if revision == '0001' else 'empty'}"):
            copying.copy(source, target)

    @pytest.mark.parametrize("kind", ["sqlite", "postgres"])
    def test_a_source_at_another_revision(self, kind, open_store, tmp_path, request):
        old = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else request.getfixturevalue("fresh_postgres_url")
        source = open_store(old)
        migrate.upgrade(source, "0001")
        source.close()
        with pytest.raises(NotCopied, match=r"is 0001, this version needs \d+; `sankofa migrate` without --copy-to"):
            copying.copy(source, open_store(f"sqlite:///{tmp_path}/fresh.db"))
        assert not (tmp_path / "fresh.db").exists()

    def test_a_source_without_a_schema(self, target, open_store, tmp_path):
        (tmp_path / "nothing.db").touch()
        with pytest.raises(NotCopied, match="is empty, this version needs"):
            copying.copy(open_store(f"sqlite:///{tmp_path}/nothing.db"), target)

    def test_a_source_that_is_not_there(self, target, open_store, tmp_path):
        with pytest.raises(NotCopied, match=r"There is no database .*nowhere\.db"):
            copying.copy(open_store(f"sqlite:///{tmp_path}/nowhere.db"), target)
        assert not (tmp_path / "nowhere.db").exists()

    def test_a_source_that_another_has_open(self, source, target, open_store, monkeypatch):
        monkeypatch.setattr(alone, "PATIENCE_SECONDS", 0.3)
        other = open_store(source.url.render_as_string(hide_password=False))
        with other.engine.connect() as connection:
            connection.execute(sa.select(Tenant)).all()
            connection.rollback()
            with pytest.raises(alone.InUse, match="Stop the service first"):
                copying.copy(source, target)
        other.close()
        copying.copy(source, target)

    def test_the_installation_itself(self, source, open_store, tmp_path):
        url = source.url.render_as_string(hide_password=False)
        with pytest.raises(NotCopied, match="is the installation itself"):
            copying.copy(source, open_store(url))
        if source.is_sqlite:
            (tmp_path / "link.db").symlink_to(source.url.database)
            with pytest.raises(NotCopied, match="is the installation itself"):
                copying.copy(source, open_store(f"sqlite:///{tmp_path}/link.db"))

    def test_bytes_that_are_not_what_was_written_unless_they_are_wanted(self, scene_on, urls, target):
        scene = scene_on(urls[0])
        dataset = scene.dataset()
        scene.store.close()
        with pytest.raises(NotCopied, match=rf"not those that were written: dataset {dataset}\. .* --with-damaged"):
            copying.copy(scene.store, target)
        assert is_empty(target)
        target.close()
        assert copying.copy(scene.store, target, with_damaged=True).damaged == [f"dataset {dataset}"]

    def test_a_row_that_the_target_does_not_take(self, sqlite_url, fresh_postgres_url, open_store):
        """SQLite stores texts of any length and with any character."""
        source, target = open_store(sqlite_url), open_store(fresh_postgres_url)
        with source.write() as session:
            for number in range(50):
                session.add(Tenant(id=f"t{number}", name="x" * (201 if number == 33 else 200), created_at=0.0))
        source.close()
        with pytest.raises(NotCopied, match=r"A row of tenant \(id 't33'\) cannot be written there: value too long"):
            copying.copy(source, target)
        assert is_empty(target)


class TestWhatIsCompared:
    def test_a_value_that_the_target_changes(self, sqlite_url, fresh_postgres_url, open_store):
        source, target = open_store(sqlite_url), open_store(fresh_postgres_url)
        migrate.upgrade(target)
        with target.engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.used_seconds := 1e-9; RETURN NEW; END $$;"
                "CREATE TRIGGER other BEFORE INSERT ON tenant FOR EACH ROW EXECUTE FUNCTION other()"
            )
        with pytest.raises(NotCopied, match=r"A row of tenant \(id 'default'\) is not in the target as it is in the source"):
            copying.copy(source, target)
        assert is_empty(target)

    @pytest.mark.parametrize("fault", ["first", "last", "twice"])
    def test_a_row_that_is_missing_or_too_many(self, source, target, monkeypatch, fault):
        batches = copying._batches
        fill(source)
        source.close()

        def faulty(rows):
            for batch in batches(rows):
                if fault == "twice" and "worker" in str(batch[-1][0]):
                    yield [*batch, ["another", *batch[-1][1:]]]
                else:
                    yield {"first": batch[1:] or batch, "last": batch[:-1] or batch, "twice": batch}[fault]

        monkeypatch.setattr(copying, "_batches", faulty)
        with pytest.raises(NotCopied, match=r"is not in the target as it is in the source|cannot be written there"):
            copying.copy(source, target, with_damaged=True)
        assert is_empty(target)

    def test_bytes_that_the_target_lost(self, scene_on, urls, target):
        scene = scene_on(urls[0])
        _, claim = scene.job_in(State.RUNNING)
        blob_id = blobs.write(scene.store, [b"state"])
        with scene.store.write() as session:
            session.execute(sa.update(Dataset).values(blob_id=""))
            its = {"job_id": claim.job_id, "epoch": 1, "bytes": 5, "created_at": 1.0}
            session.add(
                Checkpoint(step=1, digest="5d9d0d2ef0b5d58d6dcd2fe0c0bf6ac6cbb2ad2ebe6b6b7a2d5d7a5e0a6d3c6e", blob_id=blob_id, **its)
            )
            session.add(Checkpoint(step=2, digest="0" * 64, blob_id="blob_gone", **its))
        scene.store.close()
        with pytest.raises(NotCopied, match=rf"checkpoint {claim.job_id} 1, checkpoint {claim.job_id} 2\."):
            copying.copy(scene.store, target)


class TestTheClock:
    @pytest.fixture
    def ahead(self, sqlite_url, fresh_postgres_url, open_store):
        """Makes a source whose newest time is some seconds ahead of the target's clock."""
        source, target = open_store(sqlite_url), open_store(fresh_postgres_url)

        def ahead_by(seconds):
            with target.engine.connect() as connection:
                at = target.now(connection) + seconds
            with source.write() as session:
                session.add(Worker(id="w", host="h", boot_id="b", pid=1, pid_started=1, fingerprint="f", started_at=1.0, heartbeat_at=at))
            source.close()
            target.close()
            return source, target, at

        return ahead_by

    def test_a_target_that_is_a_little_behind_is_waited_for(self, ahead):
        source, target, at = ahead(1.5)
        copying.copy(source, target)
        with target.engine.connect() as connection:
            assert target.now(connection) >= at

    def test_a_target_that_is_far_behind_is_refused(self, ahead):
        source, target, _ = ahead(3600)
        with pytest.raises(NotCopied, match=r"The newest time in the source is 3,(600|599) s ahead of the clock"):
            copying.copy(source, target)
        assert is_empty(target)


def test_little_is_in_memory_at_once(source, target, monkeypatch):
    """Rows come in batches of a few megabytes."""
    with source.write() as session:
        for seq in range(40):
            session.add(BlobChunk(blob_id="blob", seq=seq, data=bytes([seq]) * (1 << 20), created_at=0.0))
    source.close()
    sizes = []
    write = copying._write
    monkeypatch.setattr(
        copying, "_write", lambda writing, table, batch: (sizes.append((table.name, len(batch))), write(writing, table, batch))
    )
    copying.copy(source, target)
    assert {size for name, size in sizes if name == "blob_chunk"} == {4}


def test_progress_is_told(source, target):
    with source.write() as session:
        session.add_all(Tenant(id=f"t{number}", name="", created_at=0.0) for number in range(2 * copying.BATCH_ROWS))
    source.close()
    told = []
    copying.copy(source, target, progressed=lambda what, done, total: told.append((what, done, total)))
    assert told[-1] == ("compare rows", 1002, 1002)
    assert ("copy rows", 501, 1002) in told
