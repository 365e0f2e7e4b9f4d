"""API keys: 256 random bits, kept as their sha256, each with what it may do, for whom, and for how long."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, idempotency
from service.store.database import Store
from service.store.errors import KeyEnded, NotFound
from service.store.idempotency import Created, Once
from service.store.ids import new_id
from service.store.models import ApiKey, Tenant

DEFAULT_TENANT = "default"
SCOPES = ("read", "write", "admin")
HINT_CHARACTERS = 7  # of the key, shown so that people can tell it from others; the rest cannot be guessed from them
OURS = re.compile(r"sk_[0-9a-f]{64}")
USED_SECONDS = 300.0  # how often at the most it is written that a key is used


class KeyState(StrEnum):
    """Whether a key opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Identity:
    """Who sends a request, and what it may do."""

    tenant_id: str
    key_id: str
    scopes: frozenset[str]
    key_requests_per_minute: int | None = None
    tenant_requests_per_minute: int | None = None
    unmarked: bool = False  # nobody has written for a while that the key is used

    @property
    def is_operator(self) -> bool:
        """Whether an admin key of this tenant looks after all tenants."""
        return self.tenant_id == DEFAULT_TENANT


@dataclass(frozen=True)
class NewKey:
    """A key to be made. expires_after_seconds: None is never."""

    tenant_id: str
    name: str
    scopes: Sequence[str]
    expires_after_seconds: float | None = None
    requests_per_minute: int | None = None


def identify(store: Store, key: str) -> Identity | None:
    """Whose key this is, or None if it is nobody's. Raises KeyEnded for one that was revoked or has expired."""
    with store.read() as session:
        found = sa.select(ApiKey, Tenant.max_requests_per_minute).join(Tenant).where(ApiKey.digest == _digest(key))
        row = session.execute(found).one_or_none()
        if row is None:
            return None
        known: ApiKey = row[0]
        now = store.now(session)
    state = state_of(known, now)
    if state is not KeyState.ACTIVE:
        raise KeyEnded(known.id, state)
    unmarked = known.last_used_at is None or abs(now - known.last_used_at) >= USED_SECONDS
    return Identity(known.tenant_id, known.id, frozenset(known.scopes), known.max_requests_per_minute, row[1], unmarked)


def state_of(key: ApiKey, now: float) -> KeyState:
    """Whether the key opens anything at `now`."""
    if key.revoked_at is not None:
        return KeyState.REVOKED
    return KeyState.EXPIRED if key.expires_at is not None and key.expires_at <= now else KeyState.ACTIVE


def mark_used(store: Store, key_id: str) -> None:
    """Write that the key is used, unless that was written less than USED_SECONDS ago."""
    with store.write() as session:
        now = store.now(session)
        due = sa.or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - USED_SECONDS, ApiKey.last_used_at > now)
        session.execute(sa.update(ApiKey).where(ApiKey.id == key_id, due).values(last_used_at=now))


def create(
    store: Store, new: NewKey, *, owner: str, answer: Callable[[ApiKey, float], bytes], once: Once | None = None
) -> tuple[Created, str]:
    """Make a key; what was made, and the key itself, which is known only now. Raises NotFound for a tenant that there is not.

    owner: the tenant that asks, whose idempotency key `once` is. A repeated request makes no key: then the one given is of no use.
    """
    secret = _new_secret()

    def insert(session: Session) -> Created:
        if session.get(Tenant, new.tenant_id) is None:
            raise NotFound("tenant", new.tenant_id)
        now = store.now(session)
        expires_at = None if new.expires_after_seconds is None else now + new.expires_after_seconds
        row = _add(session, new.tenant_id, secret, new.name, new.scopes, now, expires_at, new.requests_per_minute)
        audit.record(session, now, "key.create", row.id, row.tenant_id, name=row.name, scopes=row.scopes)
        session.flush()
        return Created(row.id, answer(row, now))

    return idempotency.create(store, owner, once, insert), secret


def rotate(
    store: Store,
    tenant_id: str | None,
    key_id: str,
    *,
    overlap_seconds: float,
    owner: str,
    answer: Callable[[ApiKey, float], bytes],
    once: Once | None = None,
) -> tuple[Created, str]:
    """Make a key that may do what `key_id` may, which ends `overlap_seconds` from now; as for `create`.

    tenant_id: whose the key must be; None for anybody's. A time that the old key was to end at is the new one's, too.
    Raises NotFound; KeyEnded when the old one opens nothing any more.
    """
    secret = _new_secret()

    def insert(session: Session) -> Created:
        now = store.now(session)
        old = _find(session, tenant_id, key_id)
        if state_of(old, now) is not KeyState.ACTIVE:
            raise KeyEnded(key_id, state_of(old, now))
        row = _add(session, old.tenant_id, secret, old.name, old.scopes, now, old.expires_at, old.max_requests_per_minute)
        row.replaces = old.id
        old.expires_at = min(now + overlap_seconds, old.expires_at or float("inf"))
        audit.record(session, now, "key.rotate", old.id, old.tenant_id, replaced_by=row.id, overlap_seconds=overlap_seconds)
        session.flush()
        return Created(row.id, answer(row, now))

    return idempotency.create(store, owner, once, insert), secret


def revoke(store: Store, tenant_id: str | None, key_id: str) -> None:
    """End a key now; nothing changes if it was revoked before. tenant_id: whose it must be; None for anybody's. Raises NotFound."""
    with store.write() as session:
        row = _find(session, tenant_id, key_id)
        if row.revoked_at is None:
            now = row.revoked_at = store.now(session)
            audit.record(session, now, "key.revoke", row.id, row.tenant_id, name=row.name)


def get(store: Store, tenant_id: str | None, key_id: str) -> tuple[ApiKey, KeyState]:
    """The key and whether it opens anything. tenant_id: whose it must be; None for anybody's. Raises NotFound."""
    with store.read() as session:
        row = _find(session, tenant_id, key_id)
        return row, state_of(row, store.now(session))


def page(
    store: Store, tenant_id: str | None, *, limit: int, before: str | None = None, state: KeyState | None = None
) -> Sequence[tuple[ApiKey, KeyState]]:
    """The newest keys made before the one named `before`, newest first; of one tenant, or of all."""
    query = sa.select(ApiKey).order_by(ApiKey.id.desc()).limit(limit)
    if tenant_id is not None:
        query = query.where(ApiKey.tenant_id == tenant_id)
    if before is not None:
        query = query.where(ApiKey.id < before)
    with store.read() as session:
        now = store.now(session)
        expired = sa.and_(ApiKey.revoked_at.is_(None), ApiKey.expires_at.is_not(None), ApiKey.expires_at <= now)
        revoked = ApiKey.revoked_at.is_not(None)
        if state is not None:
            query = query.where({KeyState.REVOKED: revoked, KeyState.EXPIRED: expired}.get(state, sa.not_(sa.or_(revoked, expired))))
        return [(row, state_of(row, now)) for row in session.scalars(query)]


def register(store: Store, key: str, name: str, tenant_id: str = DEFAULT_TENANT) -> None:
    """Give `key` every scope for the tenant; nothing changes if it is known. Raises ValueError for a blank key."""
    if not key.strip():
        raise ValueError(f"The API key named {name!r} is blank, which would let everybody in. Give it characters, or remove it.")
    with store.write() as session:
        row = store.insert(ApiKey).values(
            id=new_id("key"),
            tenant_id=tenant_id,
            digest=_digest(key),
            name=name,
            scopes=list(SCOPES),
            created_at=store.now(session),
            hint=_hint(key),
        )
        session.execute(row.on_conflict_do_nothing())


def first_key(store: Store, path: Path) -> str:
    """The key in the file `path`; on the first call one is made and the file, readable by its owner alone, is written.

    The file appears whole or not at all: two processes may come first at once, or be killed.
    """
    if not path.exists():
        written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{_new_secret()}\n")
        with suppress(FileExistsError):  # another process was quicker
            os.link(written, path)
        written.unlink()
    key = path.read_text().strip()
    register(store, key, "first")
    return key


def _find(session: Session, tenant_id: str | None, key_id: str) -> ApiKey:
    row = session.get(ApiKey, key_id, with_for_update=True)
    if row is None or tenant_id not in (None, row.tenant_id):
        raise NotFound("key", key_id)
    return row


def _add(
    session: Session,
    tenant_id: str,
    secret: str,
    name: str,
    scopes: Sequence[str],
    now: float,
    expires_at: float | None,
    requests_per_minute: int | None,
) -> ApiKey:
    row = ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        digest=_digest(secret),
        name=name,
        scopes=[scope for scope in SCOPES if scope in scopes],
        created_at=now,
        hint=_hint(secret),
        expires_at=expires_at,
        max_requests_per_minute=requests_per_minute,
    )
    session.add(row)
    return row


def _new_secret() -> str:
    return f"sk_{secrets.token_hex(32)}"


def _hint(key: str) -> str | None:
    """How a key of ours begins; of one that somebody thought of himself nothing is told."""
    return key[:HINT_CHARACTERS] if OURS.fullmatch(key) else None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
