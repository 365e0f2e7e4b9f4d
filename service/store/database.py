"""`Store`: the database, its two kinds of transaction, and its clock.

A read sees one moment (Postgres: REPEATABLE READ). A write on SQLite begins with BEGIN IMMEDIATE, so that what it reads
cannot change before it writes; on Postgres rows are changed by compare-and-set in short READ COMMITTED transactions.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.store.clock import boot_id, since_boot
from service.store.errors import StorageFull, StoreBusy
from service.store.models import Installation

BUSY_SECONDS = 10.0  # how long a transaction of SQLite waits for others
# A writer looks so often whether another process has ended its transaction, later less often. SQLite's own wait sleeps for 1, 2, 5, 10,
# 15, 20 and then 25 ms at a time, while a transaction takes 1 or 2: most of the time nobody would write.
FIRST_NAP_SECONDS, LONGEST_NAP_SECONDS = 0.0003, 0.005
SQLITE_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)
OPENING_SECONDS, OPENING_STEP_SECONDS = 10.0, 0.01  # how long and how often a file that others are opening is tried
# The newest time that is written where the protocol compares it with the clock.
NEWEST_TIME = """
    SELECT max(at) FROM (
        SELECT max(heartbeat_at) AS at FROM worker UNION ALL SELECT max(used_at) FROM tenant
        UNION ALL SELECT max(runnable_since) FROM job UNION ALL SELECT max(heartbeat_at) FROM job
    )
"""
GIVEN_BACK_PAGES = 1000  # in one transaction, so that others need not wait long
POSTGRES_ARGUMENTS = {
    "client_encoding": "utf8",  # else a database without an encoding of its own (SQL_ASCII) answers in bytes
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "tcp_user_timeout": 10_000,
    "options": "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=15s",
}


class Store:
    """The database at `url`. Make it after a fork, never before: connections cannot be shared by processes."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        """clock: seconds, in place of the database's own; for tests."""
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._clock = clock
        self._clock_offset: float | None = None
        self._writers = threading.Lock()  # on SQLite: the threads of a process wait here for each other
        if self.is_sqlite:
            self.engine = sa.create_engine(self.url, pool_size=32, max_overflow=32, pool_timeout=10, **JSON_BY)
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = sa.create_engine(
                self.url, pool_size=16, max_overflow=16, pool_timeout=10, pool_pre_ping=True, connect_args=POSTGRES_ARGUMENTS, **JSON_BY
            )
            sa.event.listen(self.engine, "do_execute", _execute_in_binary)
        self._writer = self.engine.execution_options(begin="BEGIN IMMEDIATE")
        self._reader = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with _translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def read_rows(self) -> Iterator[sa.Connection]:
        """A transaction that only reads, and answers plain rows: several times as quick as objects, for what is asked all the time."""
        with _translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is committed at the end of the block, or rolled back if the block raises.

        Raises StoreBusy or StorageFull. After a StoreBusy at the commit it may have happened or not: read again.
        """
        with _translated():
            self._settle_clock()
            with self._turn(), Session(self._writer, expire_on_commit=False) as session, session.begin():
                yield session

    @contextmanager
    def write_rows(self) -> Iterator[sa.Connection]:
        """As `write`, with plain rows."""
        with _translated():
            self._settle_clock()
            with self._turn(), self._writer.connect() as connection, connection.begin():
                yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """On SQLite, one writer of this process at a time: the next begins at once, not when it has slept long enough."""
        if not self.is_sqlite:
            yield
            return
        if not self._writers.acquire(timeout=BUSY_SECONDS):
            raise StoreBusy("The database is locked.")
        try:
            yield
        finally:
            self._writers.release()

    def now(self, session: Session | sa.Connection) -> float:
        """Seconds since 1970 by the store's clock."""
        if self._clock is not None:
            return self._clock()
        if not self.is_sqlite:
            return float(session.execute(sa.select(sa.func.extract("epoch", sa.func.clock_timestamp()))).scalar_one())
        offset = self._settle_clock()  # first: it may have to wait
        return since_boot() + offset

    def insert(self, table: type[Any]) -> Any:
        """An INSERT that knows `on_conflict_do_update` and `on_conflict_do_nothing`."""
        return (sqlite.insert if self.is_sqlite else postgresql.insert)(table)

    def give_back_pages(self) -> None:
        """Give the disk back what deletes left unused, a little at a time. On SQLite; Postgres sees to it itself."""
        if not self.is_sqlite:
            return
        with _translated(), self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            try:
                while driver.execute("PRAGMA freelist_count").fetchone()[0]:
                    driver.executescript(f"PRAGMA incremental_vacuum({GIVEN_BACK_PAGES})")  # `execute` would free one page
            except sqlite3.OperationalError as error:
                raise StoreBusy("The database is locked.") from error

    def close(self) -> None:
        """Close every connection of this process."""
        self.engine.dispose()

    def _settle_clock(self) -> float:
        """The seconds to add to the time since boot, read once; 0 where the clock is another one.

        A write asks for it before it begins: it takes a transaction of its own, for which a write under way would have to wait.
        """
        if self._clock_offset is None:
            self._clock_offset = self._read_clock_offset() if self.is_sqlite and self._clock is None else 0.0
        return self._clock_offset

    def _read_clock_offset(self) -> float:
        """The offset all processes of this boot agreed on; the first one writes it, never before an earlier boot's time."""
        boot = boot_id()
        with Session(self.engine) as session:
            row = session.get_one(Installation, 1)
            if row.boot_id == boot:
                return row.clock_offset
        with Session(self._writer) as session, session.begin():
            row = session.get_one(Installation, 1)
            if row.boot_id != boot:  # another process may have been quicker
                newest = session.scalar(sa.text(NEWEST_TIME))
                row.clock_offset = max(time.time(), newest or 0.0) - since_boot()
                row.boot_id = boot
            return row.clock_offset


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    if not _has_floor(connection):
        connection.create_function("floor", 1, math.floor, deterministic=True)
    gives_up_at = time.monotonic() + OPENING_SECONDS
    while True:
        try:
            if (
                connection.execute("PRAGMA page_count").fetchone()[0] == 0
            ):  # it has effect only before the first table, and takes the write lock
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            for pragma in SQLITE_PRAGMAS:
                connection.execute(pragma)
            return
        except sqlite3.OperationalError as error:  # SQLite does not wait where two connections make one file WAL
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > gives_up_at:
                raise
        time.sleep(OPENING_STEP_SECONDS)


def _has_floor(connection: sqlite3.Connection) -> bool:
    """Not every build of SQLite has it. Its own is quicker than one in Python, which is called for every queued job."""
    try:
        return bool(connection.execute("SELECT floor(1.5) = 1").fetchone()[0])
    except sqlite3.OperationalError:
        return False


def _begin_sqlite(connection: sa.Connection) -> None:
    """Begin, on the driver's connection: SQLAlchemy takes longer to send this than SQLite to do it."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    begin = connection.get_execution_options().get("begin", "BEGIN")
    if begin == "BEGIN":  # nobody has to be waited for
        driver.execute(begin)
        return
    gives_up_at, nap_seconds = time.monotonic() + BUSY_SECONDS, FIRST_NAP_SECONDS
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                driver.execute(begin)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > gives_up_at:
                    raise exc.OperationalError(begin, None, error) from error
            time.sleep(nap_seconds)
            nap_seconds = min(2 * nap_seconds, LONGEST_NAP_SECONDS)
    finally:
        driver.execute(SQLITE_PRAGMAS[0])


def _execute_in_binary(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Where the option `binary` is set Postgres answers in bytes as they are; else it writes each as two hexadecimal digits."""
    if not context.execution_options.get("binary"):
        return False
    cursor.execute(statement, parameters, binary=True)
    return True


def to_json(content: Any) -> str:
    """orjson writes metrics five times as fast as json; what it refuses (names that are no texts), json takes."""
    try:
        return orjson.dumps(content).decode()
    except TypeError:
        return json.dumps(content)


def _from_json(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # NaN, which json once wrote
        return json.loads(text)


JSON_BY: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": _from_json}


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the drivers' errors about locks, lost connections and full disks into the store's own."""
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreBusy("No database connection became free in time.") from error
    except (exc.OperationalError, exc.InternalError, exc.InterfaceError) as error:
        text = str(error.orig)
        if "disk is full" in text or "disk I/O error" in text or getattr(error.orig, "sqlstate", None) == "53100":
            raise StorageFull("The database could not write: no room left on its device.") from error
        if "no such table" in text:
            raise
        raise StoreBusy("The database is locked or out of reach.") from error
    except exc.DatabaseError as error:
        if not is_unreadable(error):
            raise
        raise StoreBusy("The database's file cannot be read.") from error


def is_unreadable(error: exc.DBAPIError) -> bool:
    """Whether a file was opened that is no database, or a damaged one: SQLite's other errors are of classes of their own."""
    return type(error.orig) is sqlite3.DatabaseError
