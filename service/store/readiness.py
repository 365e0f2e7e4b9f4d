"""Whether the database can serve: reachable, and its schema the one that this code was written for."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy import exc

from service.store.database import Store
from service.store.errors import StoreError
from service.store.migrate import alembic_config

Readiness = Literal["ready", "unreachable", "schema missing", "schema outdated"]


def check(store: Store) -> Readiness:
    """The state of the database. Asks it one question."""
    try:
        with store.read() as session:
            found = set(session.scalars(sa.text("SELECT version_num FROM alembic_version")))
    except StoreError:
        return "unreachable"
    except exc.DBAPIError:  # there is no such table
        return "schema missing"
    return "ready" if found == _heads() else "schema outdated"


@lru_cache(maxsize=1)
def _heads() -> set[str]:
    return set(ScriptDirectory.from_config(alembic_config()).get_heads())
