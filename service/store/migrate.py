"""The schema, made and changed by Alembic alone: `python -m service.store.migrate`."""

from __future__ import annotations

from importlib.resources import files

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.settings import Settings
from service.store import keys
from service.store.database import Store

MIGRATION_LOCK = 0x5A4B0FA  # any number that no other program locks


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration; its scripts are the installed package `migrations`."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.attributes["connection"] = connection
    return config


def upgrade(store: Store, revision: str = "head") -> None:
    """Bring the schema to `revision`. Several processes may ask at once: one does it, the others find it done."""
    with store.engine.execution_options(begin="BEGIN EXCLUSIVE").begin() as connection:
        if not store.is_sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})
        command.upgrade(alembic_config(connection), revision)


def is_current(store: Store) -> bool:
    """Whether the schema is the one this code was written for."""
    with store.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_heads()
    return set(found) == set(ScriptDirectory.from_config(alembic_config()).get_heads())


def main() -> None:
    """Make or upgrade the schema that SANKOFA_* variables name, and register the first key."""
    settings = Settings.from_environment()
    settings.make_data_dir()
    store = Store(settings.database)
    upgrade(store)
    if settings.api_key is not None:
        keys.register(store, settings.api_key, "from SANKOFA_API_KEY")
    else:
        keys.first_key(store, settings.key_path)
    store.close()


if __name__ == "__main__":
    main()
