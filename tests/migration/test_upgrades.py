"""An installation of every earlier revision, stored beside this file, is upgraded to the newest: its content is whole and it goes on.

So it is when it was then copied from SQLite to Postgres.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from service.store import (
    audit,
    blobs,
    checkpoints,
    claims,
    copying,
    cross_validations,
    datasets,
    events,
    idempotency,
    jobs,
    keys,
    metrics,
    migrate,
    model_versions,
    named_models,
    quotas,
    reaping,
    tenants,
)
from service.store.audit import Filter
from service.store.database import Store
from service.store.idempotency import Once
from service.store.models import Environment, JobFile
from service.store.quotas import Quota
from service.store.states import Action

HERE = Path(__file__).parent
STORED = sorted(path.stem for path in HERE.glob("*.sql"))
MIGRATIONS = HERE.parents[1] / "migrations"

DONE, FAILED, RUNNING, PAUSED, QUEUED, CANCELLED = (f"job_{number:026d}" for number in (5, 8, 9, 11, 12, 13))


def fill_sqlite(url, revision):
    """Put the stored content into a database that is at `revision`."""
    with sqlite3.connect(sa.make_url(url).database) as connection:
        connection.executescript("DELETE FROM installation; DELETE FROM tenant;")
        connection.executescript((HERE / f"{revision}.sql").read_text())
    connection.close()


def fill_postgres(url, revision, tmp_path):
    """The same, by way of an SQLite database of that revision."""
    stored = at_revision(f"sqlite:///{tmp_path}/stored.db", revision)
    fill_sqlite(stored.url, revision)
    tables = sa.MetaData()
    target = Store(url)
    tables.reflect(target.engine)
    with stored.engine.connect() as source, target.engine.begin() as connection:
        for name in ("installation", "tenant"):
            connection.execute(sa.delete(tables.tables[name]))
        for table in tables.sorted_tables:
            rows = [dict(row._mapping) for row in source.exec_driver_sql(f'SELECT * FROM "{table.name}"')]
            if table.name != "alembic_version" and rows:
                connection.execute(
                    sa.insert(table), [{name: typed(table.c[name].type, value) for name, value in row.items()} for row in rows]
                )
    for store in (stored, target):
        store.close()


def typed(type_, value):
    """A value that SQLite stored, as a column of this type takes it."""
    if isinstance(type_, sa.JSON) and value is not None:
        return json.loads(value)
    return bool(value) if isinstance(type_, sa.Boolean) else value


def at_revision(url, revision):
    store = Store(url, clock=lambda: 1_700_000_020.0)
    migrate.upgrade(store, revision)
    return store


@pytest.fixture(params=["sqlite", "postgres"])
def fresh_url(request, tmp_path):
    """A database in which there is nothing at all."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/fresh.db"
    return request.getfixturevalue("fresh_postgres_url")


def test_every_migration_but_the_newest_has_a_stored_installation():
    revisions = sorted(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert revisions[:-1] == STORED[: len(revisions) - 1]
    assert set(STORED) <= set(revisions)


@pytest.fixture(params=STORED)
def upgraded(request, fresh_url, tmp_path):
    """The stored installation, brought to the newest revision."""
    store = at_revision(fresh_url, request.param)
    if store.is_sqlite:
        fill_sqlite(fresh_url, request.param)
    else:
        fill_postgres(fresh_url, request.param, tmp_path)
    migrate.upgrade(store)
    yield store
    store.close()


class TestAnUpgradedInstallation:
    def test_is_at_the_newest_revision_and_shaped_as_the_models_say(self, upgraded):
        assert migrate.is_current(upgraded)
        with upgraded.engine.begin() as connection:
            command.check(migrate.alembic_config(connection))

    def test_lets_in_who_had_a_key(self, upgraded):
        identity = keys.identify(upgraded, "sk_of_a_stored_database")
        assert (identity.tenant_id, identity.scopes) == ("default", {"read", "write", "admin"})

    def test_has_the_limits_keys_and_log_it_had_and_no_others(self, upgraded, request):
        limited = request.node.callspec.params["upgraded"] >= "0002"
        limits = {quota: limit for quota, limit in quotas.limits_of(tenants.get(upgraded, "default")).items() if limit is not None}
        assert limits == ({"queued_jobs": 100, "parameters": 1_000_000} if limited else {})
        states = [state for _, state in keys.page(upgraded, None, limit=10)]
        assert states == (["revoked", "active"] if limited else ["active"])
        assert len(audit.page(upgraded, Filter(), limit=10)) == (1 if limited else 0)
        used = quotas.use(upgraded, "default")
        assert (used[Quota.QUEUED_JOBS].used, used[Quota.RUNNING_JOBS].used) == (2, 1)
        tenants.change(upgraded, "default", limits={Quota.RUNNING_JOBS: 1})
        assert claims.claim(upgraded, "worker", "cpu_a", 30) is None

    def test_has_its_datasets(self, upgraded):
        (dataset,) = datasets.page(upgraded, "default", limit=10)
        assert (dataset.name, dataset.rows, [column["name"] for column in dataset.columns]) == ("xor", 4, ["x", "y"])
        assert b"".join(blobs.read(upgraded, dataset.blob_id)) == b"table bytes"

    def test_has_its_jobs_in_their_states(self, upgraded):
        found = {detail.job.id: detail.job.state for detail in jobs.page(upgraded, "default", limit=10)}
        states = ("succeeded", "failed", "running", "paused", "queued", "cancelled")
        assert found == dict(zip((DONE, FAILED, RUNNING, PAUSED, QUEUED, CANCELLED), states, strict=True))

    def test_has_what_a_job_left_behind(self, upgraded):
        detail = jobs.get(upgraded, "default", DONE)
        assert (detail.spec["seed"], detail.job.tags, detail.job.trained_seconds) == (7, {"lesson": "1"}, 10.0)
        (snapshot,) = detail.snapshots
        assert (snapshot.step, snapshot.best, snapshot.last, snapshot.values) == (100, True, True, {"loss": 0.1})
        assert b"".join(blobs.read(upgraded, snapshot.blob_id)) == b"weights"
        assert [event.data["state"] for event in events.after(upgraded, DONE, 0)] == ["queued", "running", "succeeded"]
        assert [(row.step, row.values["loss"]) for row in metrics.after(upgraded, DONE)] == [(50, 0.5), (100, 0.1)]
        assert jobs.row(upgraded, "default", FAILED).reason_code == "diverged"

    def test_has_the_files_that_jobs_left(self, upgraded, request):
        with upgraded.read() as session:
            found = {file.name: b"".join(blobs.read(upgraded, file.blob_id)) for file in session.scalars(sa.select(JobFile))}
        assert found == ({"predictions": b"predictions"} if request.node.callspec.params["upgraded"] >= "0005" else {})

    def test_has_the_models_it_had(self, upgraded, request):
        found = [(detail.model.name, dict(detail.aliases)) for detail in named_models.page(upgraded, "default", limit=10)]
        if request.node.callspec.params["upgraded"] < "0008":
            assert found == []
            return
        assert found == [("digits", {"production": 1})]
        row = model_versions.get(upgraded, "default", "digits", "production").row
        assert (row.job_id, row.step, row.imported, b"".join(blobs.read(upgraded, row.blob_id))) == (DONE, 100, None, b"weights")

    def test_has_the_environment_and_the_imported_version_it_had(self, upgraded, request):
        with upgraded.read() as session:
            parts = {row.fingerprint: row.parts for row in session.scalars(sa.select(Environment))}
        if request.node.callspec.params["upgraded"] < "0010":
            assert parts == {}
            return
        assert parts == {"cpu_a": {"numpy": "2.0"}}
        row = model_versions.get(upgraded, "default", "digits", 2).row
        assert (row.job_id, row.imported, b"".join(blobs.read(upgraded, row.blob_id))) == (None, {"format": "safetensors"}, b"imported")

    def test_has_no_cross_validation_and_no_job_of_one(self, upgraded):
        assert cross_validations.page(upgraded, "default", limit=10) == []
        assert {detail.job.cross_validation_id for detail in jobs.page(upgraded, "default", limit=10)} == {None}

    def test_remembers_what_was_asked_with_a_key(self, upgraded):
        again = idempotency.earlier(upgraded, "default", Once("/v1/jobs", "done", "sha256:body"))
        assert (again.id, again.answer) == (DONE, DONE.encode())

    def test_goes_on_with_its_jobs(self, upgraded):
        assert checkpoints.newest(upgraded, RUNNING) == (20, 2, b"state at 20")
        waiting = claims.claim(upgraded, "worker", "cpu_a", 30)
        assert (waiting.job_id, waiting.fence) == (QUEUED, 1)
        later = Store(upgraded.url.render_as_string(hide_password=False), clock=lambda: 1_700_000_045.0)
        assert [(one.job_id, one.state, one.losses) for one in reaping.reap(later, max_losses=5)] == [(RUNNING, "queued", 1)]
        assert jobs.request(later, "default", PAUSED, Action.RESUME)
        taken = {claims.claim(later, "worker", "cpu_a", 30).job_id for _ in range(2)}
        assert taken == {RUNNING, PAUSED}
        later.close()


def test_several_processes_may_upgrade_at_once(fresh_url):
    stores = [Store(fresh_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate.upgrade, stores))
    assert migrate.is_current(stores[0])
    assert datasets.page(stores[0], "default", limit=1) == []
    for store in stores:
        store.close()


class TestACopiedInstallation(TestAnUpgradedInstallation):
    @pytest.fixture(params=STORED[-1:])
    def upgraded(self, request, fresh_postgres_url, tmp_path):
        """The newest stored installation, brought to the newest revision on SQLite and copied to Postgres."""
        target = Store(fresh_postgres_url, clock=lambda: 1_700_000_020.0)
        copied(request.param, target, tmp_path)
        yield target
        target.close()


@pytest.mark.parametrize("revision", STORED)
def test_every_stored_installation_is_copied_whole(revision, fresh_postgres_url, tmp_path):
    target = Store(fresh_postgres_url)
    rows = copied(revision, target, tmp_path).rows
    assert (rows["job"], rows["dataset"], rows["checkpoint"], rows["job_metric"]) == (6, 1, 2, 3)
    assert migrate.is_current(target)
    target.close()


def copied(revision, target, tmp_path):
    """What of a stored installation was copied to `target`, after it was upgraded on SQLite."""
    source = at_revision(f"sqlite:///{tmp_path}/source.db", revision)
    fill_sqlite(f"sqlite:///{tmp_path}/source.db", revision)
    migrate.upgrade(source)
    source.close()
    return copying.copy(source, target, with_damaged=True)  # the digests are made up


def test_a_database_without_a_schema_is_not_current(fresh_url):
    store = Store(fresh_url)
    assert not migrate.is_current(store)
    store.close()


def test_the_first_migration_can_be_undone_and_done_again(fresh_url):
    store = at_revision(fresh_url, "head")
    with store.engine.begin() as connection:
        command.downgrade(migrate.alembic_config(connection), "base")
    assert sa.inspect(store.engine).get_table_names() == ["alembic_version"]
    migrate.upgrade(store)
    assert migrate.is_current(store)
    store.close()


class TestATableMadeAnew:
    """SQLite changes most things of a table by copying it: what refers to its rows must be there afterwards."""

    MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "next", "{newest}"


def upgrade():
    with op.batch_alter_table("job") as job:
        job.alter_column("name", type_=sa.String(500))
    {more}
"""

    @pytest.fixture
    def add_migration(self, tmp_path, monkeypatch):
        def add(more="pass"):
            scripts = tmp_path / "migrations"
            shutil.copytree(MIGRATIONS, scripts)
            (newest,) = migrate.newest_revisions()
            (scripts / "versions" / "next.py").write_text(self.MIGRATION.format(newest=newest, more=more))
            monkeypatch.setattr(migrate, "files", lambda package: scripts)

        return add

    def test_keeps_the_rows_that_refer_to_it(self, upgraded, add_migration):
        add_migration()
        migrate.upgrade(upgraded)
        assert migrate.is_current(upgraded)
        assert len(jobs.page(upgraded, "default", limit=10)) == 6
        assert [event.seq for event in events.after(upgraded, DONE, 0)] == [1, 2, 3]

    def test_is_refused_and_undone_if_rows_would_refer_to_nothing(self, upgraded, add_migration):
        before = migrate._found(upgraded)
        add_migration(f"op.execute(\"DELETE FROM job WHERE id = '{DONE}'\")")
        with pytest.raises((RuntimeError, sa.exc.IntegrityError)):
            migrate.upgrade(upgraded)
        assert migrate._found(upgraded) == before
        assert len(jobs.page(upgraded, "default", limit=10)) == 6
