"""The schema, made and changed by Alembic alone: `python -m service.store.migrate`."""

from __future__ import annotations

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
from service.store.database import Store

MIGRATION_LOCK = 0x5A4B0FA  # any number that no other program locks
START_SECONDS = 120.0  # how long a database server that was started beside us may take
LOOK_SECONDS = 0.5
REMIND_SECONDS = 30.0

logger = structlog.get_logger(__name__)


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
    return _found(store) == _wanted()


def wait_until_current(store: Store, ended: threading.Event | None = None) -> bool:
    """Wait, as long as it takes, for the database to answer and for its schema to be this code's; False when `ended` is set before.

    So the processes of an installation may be started in any order, also beside a database that is still starting.
    """
    return _wait(lambda: _why_not_current(store), ended or threading.Event(), float("inf"))


def _wait(obstacle: Callable[[], str | None], ended: threading.Event, patience_seconds: float) -> bool:
    """Look until there is no obstacle, and say in the log what it is. False when the patience or everything has ended."""
    gives_up_at, said, said_at = time.monotonic() + patience_seconds, "", 0.0
    while (reason := obstacle()) is not None:
        now = time.monotonic()
        if now > gives_up_at:
            return False
        if reason != said or now - said_at > REMIND_SECONDS:
            logger.warning("waiting for the database", reason=reason)
            said, said_at = reason, now
        if ended.wait(LOOK_SECONDS):
            return False
    return True


def _why_not_current(store: Store) -> str | None:
    try:
        found, wanted = _found(store), _wanted()
    except (exc.OperationalError, exc.InterfaceError) as error:
        return f"it does not answer: {error.orig}".strip()
    if found == wanted:
        return None
    return f"its schema is {_names(found)}, this version needs {_names(wanted)}; `sankofa migrate` of this version makes it so"


def _found(store: Store) -> set[str]:
    with store.engine.connect() as connection:
        return set(MigrationContext.configure(connection).get_current_heads())


def _wanted() -> set[str]:
    return set(ScriptDirectory.from_config(alembic_config()).get_heads())


def _names(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "empty"


def _why_out_of_reach(store: Store) -> str | None:
    try:
        store.engine.connect().close()
    except (exc.OperationalError, exc.InterfaceError) as error:
        return f"it does not answer: {error.orig}".strip()
    return None


def main() -> None:
    """Make or upgrade the schema that SANKOFA_* variables name, and register the first key. A server that still starts is waited for."""
    settings = Settings.from_environment()
    log.configure(settings)
    settings.make_data_dir()
    store = Store(settings.database)
    if not store.is_sqlite:
        _wait(lambda: _why_out_of_reach(store), threading.Event(), START_SECONDS)
    try:
        upgrade(store)
    except (exc.OperationalError, exc.InterfaceError) as error:
        sys.exit(f"the database cannot be opened ({error.orig}); SANKOFA_DATABASE_URL or SANKOFA_DATA_DIR names another".replace("\n", " "))
    if settings.api_key is not None:
        keys.register(store, settings.api_key, "from SANKOFA_API_KEY")
    else:
        keys.first_key(store, settings.key_path)
    store.close()


if __name__ == "__main__":
    main()
