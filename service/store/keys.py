"""API keys: 256 random bits, kept as their sha256, each with what it may do and for whom."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from service.store.database import Store
from service.store.ids import new_id
from service.store.models import ApiKey

DEFAULT_TENANT = "default"
SCOPES = ("read", "write", "admin")


@dataclass(frozen=True)
class Identity:
    """Who sends a request, and what it may do."""

    tenant_id: str
    key_id: str
    scopes: frozenset[str]


def identify(store: Store, key: str) -> Identity | None:
    """Whose key this is, or None if it is nobody's."""
    with store.read() as session:
        row = session.scalar(sa.select(ApiKey).where(ApiKey.digest == _digest(key)))
    return None if row is None else Identity(row.tenant_id, row.id, frozenset(row.scopes))


def register(store: Store, key: str, name: str, tenant_id: str = DEFAULT_TENANT) -> None:
    """Give `key` every scope for the tenant; nothing changes if it is known. Raises ValueError for a blank key."""
    if not key.strip():
        raise ValueError(f"The API key named {name!r} is blank, which would let everybody in. Give it characters, or remove it.")
    with store.write() as session:
        row = store.insert(ApiKey).values(
            id=new_id("key"), tenant_id=tenant_id, digest=_digest(key), name=name, scopes=list(SCOPES), created_at=store.now(session)
        )
        session.execute(row.on_conflict_do_nothing())


def first_key(store: Store, path: Path) -> str:
    """The key in the file `path`; on the first call one is made and the file, readable by its owner alone, is written.

    The file appears whole or not at all: two processes may come first at once, or be killed.
    """
    if not path.exists():
        written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"sk_{secrets.token_hex(32)}\n")
        with suppress(FileExistsError):  # another process was quicker
            os.link(written, path)
        written.unlink()
    key = path.read_text().strip()
    register(store, key, "first")
    return key


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
