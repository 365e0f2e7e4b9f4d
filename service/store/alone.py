"""A database that nobody else has open: what is read from it stands still, and no process goes on with it afterwards unseen."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import Base

PATIENCE_SECONDS, LOOK_SECONDS = 3.0, 0.05  # for processes that are just ending
REMEDY = (
    "Stop the service first, all of it: `sankofa serve`, or every `sankofa api` and `sankofa worker` "
    "(Ctrl-C or SIGTERM; its jobs write a checkpoint and wait), and close what else looks into the database."
)
_OTHERS = sa.text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class InUse(Exception):
    """Another process has the database open; the message names the database and the remedy."""


@contextmanager
def opened(store: Store) -> Iterator[sa.Connection]:
    """A connection, in a transaction, to a database that no other process has open, nor can write to meanwhile. Raises InUse."""
    with _sqlite(store) if store.is_sqlite else _postgres(store) as connection:
        yield connection


@contextmanager
def _sqlite(store: Store) -> Iterator[sa.Connection]:
    """In the exclusive locking mode SQLite asks for a lock of the whole file, which every open connection of another process denies."""
    engine = sa.create_engine(store.url, poolclass=sa.NullPool)
    sa.event.listen(engine, "connect", _lock_for_good)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN EXCLUSIVE"))
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        with engine.connect() as connection:
            try:
                connection.begin()
            except sa.exc.OperationalError as error:
                if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > gives_up_at:
                    raise InUse(f"Another process has {Path(store.url.database or '').resolve()} open. {REMEDY}") from error
            else:
                yield connection
                return
        time.sleep(LOOK_SECONDS)


def _lock_for_good(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where the listener says
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first access: afterwards the file is shared memory already


@contextmanager
def _postgres(store: Store) -> Iterator[sa.Connection]:
    with store.engine.execution_options(isolation_level="REPEATABLE READ").connect() as connection, connection.begin():
        take_its_time(connection)
        lock(connection, "SHARE")
        others = connection.scalar(_OTHERS)
        if others:
            raise InUse(f"{others} other connections to the database {store.url.database} are open. {REMEDY}")
        yield connection


def take_its_time(connection: sa.Connection) -> None:
    """Let this transaction last as long as it needs, on Postgres."""
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(sa.text(f"SET LOCAL {setting} = 0"))


def lock(connection: sa.Connection, mode: str) -> None:
    """Lock every table, on Postgres, until the transaction ends."""
    quoted = connection.dialect.identifier_preparer.quote
    connection.exec_driver_sql(f"LOCK TABLE {', '.join(quoted(table.name) for table in Base.metadata.sorted_tables)} IN {mode} MODE")
