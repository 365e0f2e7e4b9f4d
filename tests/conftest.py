"""What tests of several packages share: migrated, empty databases, the addresses of services, and when a skip is a failure.

A test that takes `store_url` or `store` runs on SQLite and on Postgres. Services are looked for where a developer's machine has them,
or where these variables say; a test whose service is missing is skipped with a reason that begins with "no ", e.g. "no Postgres".

SANKOFA_TEST_POSTGRES  server to make a throw-away database on, postgresql+psycopg://root@127.0.0.1/postgres
SANKOFA_TEST_REDIS     redis://127.0.0.1:6379/9
SANKOFA_TEST_RABBITMQ  amqp://guest:guest@127.0.0.1:5672//
SANKOFA_TEST_STRICT    1: a test that wants a service or a package it does not find fails
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import pytest
import sqlalchemy as sa

from service.store import audit, migrate
from service.store.database import Store
from service.store.models import Base, Installation, Tenant

TEST_VARIABLES = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("SANKOFA_TEST_")}
for _name in [name for name in os.environ if name.startswith("SANKOFA_") and name != "SANKOFA_CACHE_DIR"]:
    del os.environ[_name]  # no test depends on the installation of whoever runs it, nor does a process it starts
os.environ["XDG_CONFIG_HOME"] = str(Path(tempfile.gettempdir()) / "sankofa-tests-know-no-configuration")

WANTING = ("no ", "could not import ")  # how the reason begins when a test is skipped for want of a service or a package

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("deep", deadline=None, print_blob=True, max_examples=2000)
hypothesis.settings.load_profile("default")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    return _judged((yield))


def _judged(report: pytest.TestReport | pytest.CollectReport) -> pytest.TestReport | pytest.CollectReport:
    """The report; a failure in place of a skip for want of something, where SANKOFA_TEST_STRICT forbids that."""
    if TEST_VARIABLES.get("SANKOFA_TEST_STRICT", "0") != "0" and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(WANTING):
            report.outcome = "failed"
            report.longrepr = f"SANKOFA_TEST_STRICT: this test must not be skipped ({reason})"
    return report


@pytest.fixture(autouse=True)
def nobody_acts() -> None:
    """What a test changes is not put down to the key of the test before it."""
    audit.acts(None)


@pytest.fixture(scope="session")
def test_variables() -> Mapping[str, str]:
    """The SANKOFA_TEST_* variables that were set."""
    return TEST_VARIABLES


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Where a Redis answers."""
    return _reachable("Redis", TEST_VARIABLES.get("SANKOFA_TEST_REDIS", "redis://127.0.0.1:6379/9"), 6379)


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """Where a RabbitMQ answers."""
    return _reachable("RabbitMQ", TEST_VARIABLES.get("SANKOFA_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"), 5672)


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """Where a Postgres answers, whose user may make databases."""
    return _reachable("Postgres", TEST_VARIABLES.get("SANKOFA_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1/postgres"), 5432)


def _reachable(name: str, url: str, port: int) -> str:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or port), 3).close()
    except OSError:
        pytest.skip(f"no {name}")
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "sankofa.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    """The URL of a migrated Postgres database of this test session."""
    with _new_postgres(postgres_server) as url:
        _migrate(url)
        yield url


@pytest.fixture
def fresh_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a Postgres database in which there is nothing at all."""
    with _new_postgres(postgres_server) as url:
        yield url


@contextmanager
def _new_postgres(server: str) -> Iterator[str]:
    """A database of its own on `server`, dropped at the end."""
    name = f"sankofa_test_{secrets.token_hex(6)}"
    with _administrator(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")  # it need not outlive a power cut
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with _administrator(server) as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _administrator(server: str) -> sa.Connection:
    return sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect()


def _migrate(url: str) -> None:
    store = Store(url)
    migrate.upgrade(store)
    store.close()


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a migrated SQLite database with nothing in it but the installation's row and the default tenant."""
    path = tmp_path / "sankofa.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(migrated_postgres: str) -> str:
    """The URL of a migrated Postgres database with nothing in it but the installation's row and the default tenant."""
    store = Store(migrated_postgres)
    _empty(store)
    store.close()
    return migrated_postgres


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database, on SQLite and on Postgres."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on SQLite and on Postgres."""
    opened = Store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def empty() -> Callable[[Store], None]:
    """Takes everything out of a migrated database but what the first migration put there."""
    return _empty


def _empty(store: Store) -> None:
    with store.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(sa.delete(table))
        session.add(Installation(id=1, clock_offset=0.0, woken_at=0.0))
        session.add(Tenant(id="default", name="default", created_at=0.0, used_seconds=0.0, used_at=0.0))
