"""Idempotency keys: whoever sends a creating request again gets the answer that the first one got.

The key's row is written in the transaction that creates the thing, so there is never one without the other. A twin that
comes while the first is under way waits for it: on the unique index of Postgres, on BEGIN IMMEDIATE of SQLite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store.database import Store
from service.store.errors import IdempotencyConflict, StoreBusy
from service.store.models import IdempotencyKey


@dataclass(frozen=True)
class Once:
    """A creating request that may be sent again: where, with which key, and the sha256 of its body."""

    route: str
    key: str
    body_digest: str


@dataclass(frozen=True)
class Created:
    """What a creating request made, the body of its answer, and whether an earlier request made it."""

    id: str
    answer: bytes
    replayed: bool = False


def create(store: Store, tenant_id: str, once: Once | None, insert: Callable[[Session], Created]) -> Created:
    """Run `insert` in a transaction, at most once for a key; a repeated key gets the first answer.

    Raises IdempotencyConflict if the key came with another body before. An error of `insert` leaves no key behind.
    """
    with store.write() as session:
        if once is None:
            return insert(session)
        names = {"tenant_id": tenant_id, "route": once.route, "key": once.key}
        row = store.insert(IdempotencyKey).values(
            **names, body_digest=once.body_digest, created_id="", answer=b"", created_at=store.now(session)
        )
        taken = session.execute(row.on_conflict_do_nothing().returning(IdempotencyKey.key)).first()
        if taken is None:
            earlier = session.get(IdempotencyKey, tuple(names.values()))
            if earlier is None:
                raise StoreBusy(f"Idempotency-Key {once.key!r} was being forgotten, its time being over. Send the request again.")
            if earlier.body_digest != once.body_digest:
                raise IdempotencyConflict(once.key)
            return Created(earlier.created_id, earlier.answer, replayed=True)
        created = insert(session)
        session.execute(sa.update(IdempotencyKey).filter_by(**names).values(created_id=created.id, answer=created.answer))
        return created


def earlier(store: Store, tenant_id: str, once: Once) -> Created | None:
    """The answer an earlier request with this key got, so that a repeated upload need not be parsed again."""
    with store.read() as session:
        row = session.get(IdempotencyKey, (tenant_id, once.route, once.key))
    if row is None:
        return None
    if row.body_digest != once.body_digest:
        raise IdempotencyConflict(once.key)
    return Created(row.created_id, row.answer, replayed=True)


def remove_expired(store: Store, age_seconds: float) -> None:
    """Forget keys older than `age_seconds`."""
    with store.write() as session:
        session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.created_at < store.now(session) - age_seconds))
