"""The schema, made and changed by Alembic alone: `python -m service.store.migrate`."""

from __future__ import annotations

import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from importlib.resources import files

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc

from service import log
from service.settings import Settings
from service.store import keys
from service.store.database import Store, is_unreadable

MIGRATION_LOCK = 0x5A4B0FA  # any number that no other program locks
START_SECONDS = 120.0  # how long a database server that was started beside us may take
LOOK_SECONDS = 0.5
REMIND_SECONDS = 30.0
EXIT_UNUSABLE = 2  # what is wrong, and the remedy, stands in the last line on stderr

# What a Postgres server says where no waiting helps, and what does.
REMEDIES = {
    r'database ".*" does not exist': "create that database, or name another",
    r'role ".*" does not exist': "create that role, or name another user",
    r"password authentication failed": "give the password that the server knows",
    r"no pg_hba\.conf entry": "let the server's pg_hba.conf admit this machine and user",
    r"permission denied": "give the role the right to make tables there",
}

logger = structlog.get_logger(__name__)


class UnusableDatabase(Exception):
    """No waiting helps: the message names the variable, what is wrong, and the remedy."""


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration; its scripts are the installed package `migrations`."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.attributes["connection"] = connection
    return config


def upgrade(store: Store, revision: str = "head") -> None:
    """Bring the schema to `revision`. Several processes may ask at once: one does it, the others find it done."""
    (_upgrade_sqlite if store.is_sqlite else _upgrade_postgres)(store, revision)


def _upgrade_sqlite(store: Store, revision: str) -> None:
    """SQLite changes many a table by making it anew: without foreign keys meanwhile, or dropping the old one would ask for its rows."""
    with store.engine.execution_options(begin="BEGIN EXCLUSIVE").connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA foreign_keys = OFF")  # has effect only outside a transaction
        try:
            with connection.begin():
                command.upgrade(alembic_config(connection), revision)
                lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if lost:
                    raise RuntimeError(
                        f"The migration to {revision} would leave rows that name what is not there, first {lost[0]}. Undone."
                    )
        finally:
            driver.execute("PRAGMA foreign_keys = ON")


def _upgrade_postgres(store: Store, revision: str) -> None:
    """A migration may take its time, and so may another process's; a table that is in use is waited for as long as by any write."""
    with store.engine.begin() as connection:
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
            connection.execute(sa.text(f"SET LOCAL {setting} = 0"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})
        connection.execute(sa.text("SET LOCAL lock_timeout TO DEFAULT"))
        command.upgrade(alembic_config(connection), revision)


def is_current(store: Store) -> bool:
    """Whether the schema is the one this code was written for."""
    return _found(store) == newest_revisions()


def wait_until_current(store: Store, ended: threading.Event | None = None) -> bool:
    """Wait, as long as it takes, for the database to answer and for its schema to be this code's; False when `ended` is set before.

    So the processes of an installation may be started in any order, also beside a database that is still starting.
    """
    return _wait(store, lambda: _why_not_current(store), ended or threading.Event())


def _wait(store: Store, obstacle: Callable[[], str | None], ended: threading.Event, patience_seconds: float = float("inf")) -> bool:
    """Look until there is no obstacle, and say in the log what it is. False when the patience or everything has ended."""
    bound = "" if patience_seconds == float("inf") else f" for up to {patience_seconds:.0f} s"
    gives_up_at, said, said_at = time.monotonic() + patience_seconds, "", 0.0
    while (reason := obstacle()) is not None:
        now = time.monotonic()
        if now > gives_up_at:
            return False
        if reason != said or now - said_at > REMIND_SECONDS:
            logger.warning(f"waiting for the database{bound}", database=address(store), reason=reason)
            said, said_at = reason, now
        if ended.wait(LOOK_SECONDS):
            return False
    return True


def _why_not_current(store: Store) -> str | None:
    try:
        found, wanted = _found(store), newest_revisions()
    except exc.DBAPIError as error:
        return _told(error)
    if found == wanted:
        return None
    return f"its schema is {named(found)}, this version needs {named(wanted)}; `sankofa migrate` of this version makes it so"


def _found(store: Store) -> set[str]:
    with store.engine.connect() as connection:
        return revisions(connection)


def revisions(connection: sa.Connection) -> set[str]:
    """The revision of a database's schema; none where there is no schema."""
    return set(MigrationContext.configure(connection).get_current_heads())


def newest_revisions() -> set[str]:
    """The revision that this code was written for."""
    return set(ScriptDirectory.from_config(alembic_config()).get_heads())


def named(revisions: set[str]) -> str:
    """Revisions in a message."""
    return ", ".join(sorted(revisions)) or "empty"


def _why_out_of_reach(store: Store) -> str | None:
    """What keeps a server from answering. Raises UnusableDatabase where it answers that it never will."""
    try:
        store.engine.connect().close()
    except exc.DBAPIError as error:
        if remedy := remedy_of(error):
            raise UnusableDatabase(f"SANKOFA_DATABASE_URL: {line(error)}; {remedy}") from error
        return _told(error)
    return None


def _told(error: exc.DBAPIError) -> str:
    """The obstacle. Raises `error` itself where it is none of reaching or opening the database."""
    if is_unreadable(error):
        return f"it is no SQLite database: {line(error)}"
    if not isinstance(error, exc.OperationalError | exc.InterfaceError):
        raise error
    return f"it does not answer: {line(error)}"


def remedy_of(error: exc.DBAPIError) -> str:
    """What helps where the server itself refuses, else the empty text."""
    return next((remedy for said, remedy in REMEDIES.items() if re.search(said, str(error.orig))), "")


def line(error: exc.DBAPIError) -> str:
    """What the driver says, on one line."""
    return " ".join(str(error.orig).split()).removeprefix("connection failed: ")


def address(store: Store) -> str:
    """The database's URL, without what may be a secret."""
    return store.url.set(query={}).render_as_string(hide_password=True)


def prepare(settings: Settings) -> None:
    """Make or upgrade the schema, and register the first key. A server that still starts is waited for.

    Raises UnusableDatabase.
    """
    store = Store(settings.database)
    try:
        if not store.is_sqlite:
            _wait(store, lambda: _why_out_of_reach(store), threading.Event(), START_SECONDS)
        upgrade(store)
        if settings.api_key is not None:
            keys.register(store, settings.api_key, "from SANKOFA_API_KEY")
        else:
            keys.first_key(store, settings.key_path)
    except exc.DBAPIError as error:
        if is_unreadable(error):
            remedy = "move that file away, or name another by SANKOFA_DATABASE_URL or SANKOFA_DATA_DIR"
            raise UnusableDatabase(f"{store.url.database} cannot be read as a SQLite database ({line(error)}); {remedy}") from error
        remedy = remedy_of(error)
        if not remedy and not isinstance(error, exc.OperationalError | exc.InterfaceError):
            raise
        remedy = remedy or "SANKOFA_DATABASE_URL or SANKOFA_DATA_DIR names another"
        raise UnusableDatabase(f"the database cannot be opened ({line(error)}); {remedy}") from error
    finally:
        store.close()


def main() -> int:
    """What `prepare` does for the installation that SANKOFA_* variables name. Answers the exit code."""
    settings = Settings.from_environment()
    log.configure(settings)
    settings.make_data_dir()
    try:
        prepare(settings)
    except UnusableDatabase as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
