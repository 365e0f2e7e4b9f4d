"""Buckets of requests, shared by all API processes: a process takes some tokens at once and spends them by itself.

A bucket holds as many tokens as requests are allowed in a minute, and fills up again in a minute. What a process has taken is gone from
the bucket, so however many processes there are, they never admit more than there is; and a limit of N requests a minute costs the
database at most a hundred small writes a minute and process, not N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import sqlalchemy as sa

from service.store.database import Store
from service.store.models import RateBucket

WINDOW_SECONDS = 60.0
SHARE = 100  # a process takes one of so many parts at once


@dataclass(frozen=True)
class Taken:
    """What was taken out of a bucket. left: what is still in it, a whole token or more, or a part of one."""

    tokens: int
    left: float


def take(store: Store, bucket_id: str, per_minute: int) -> Taken:
    """Take a hundredth of what the bucket can hold, at least one token; less where there is less."""
    with store.write() as session:
        now = store.now(session)
        full = store.insert(RateBucket).values(id=bucket_id, tokens=float(per_minute), at=now)
        session.execute(full.on_conflict_do_nothing())
        bucket = session.get_one(RateBucket, bucket_id, with_for_update=True)
        refill = max(0.0, now - bucket.at) * per_minute / WINDOW_SECONDS
        held = min(float(per_minute), bucket.tokens + refill)
        tokens = min(math.ceil(per_minute / SHARE), math.floor(held))
        bucket.tokens, bucket.at = held - tokens, now
        return Taken(tokens, held - tokens)


def remove_full(store: Store) -> None:
    """Delete the buckets that nobody took from for so long that they are full again: a new one is full."""
    with store.write() as session:
        session.execute(sa.delete(RateBucket).where(RateBucket.at < store.now(session) - WINDOW_SECONDS))
