"""How many requests a key and a tenant may send: token buckets that all API processes share, and what an answer says of them.

A bucket lies in the database (`service.store.rate_buckets`). A process takes a hundredth of it at a time and spends that by itself, so
most requests ask nobody; an empty bucket is not asked again before there can be a token in it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.api.problems import Refusal
from service.store import rate_buckets
from service.store.database import Store
from service.store.keys import Identity
from service.store.rate_buckets import WINDOW_SECONDS

REMEMBERED_BUCKETS = 4096
FIELDS = {
    "RateLimit-Policy": 'What may be sent: `"key";q=60;w=60` is 60 requests a minute of this key, `"tenant"` of all keys of its tenant.',
    "RateLimit": 'What is left of it: `"key";r=12;t=48` is 12 requests now, and all of them again in 48 seconds.',
}


@dataclass(frozen=True)
class Limit:
    """What one bucket allows. name: key or tenant, as the answer calls it."""

    name: str
    bucket_id: str
    per_minute: int


@dataclass(frozen=True)
class Left:
    """What is left in a bucket, as far as this process knows."""

    limit: Limit
    requests: int

    @property
    def full_in_seconds(self) -> int:
        """How long it takes to be full again, if nothing is sent."""
        return math.ceil((self.limit.per_minute - self.requests) * WINDOW_SECONDS / self.limit.per_minute)


@dataclass
class _Purse:
    """What this process has of a bucket."""

    tokens: int = 0  # taken, not yet spent
    shared: float = 0.0  # left in the bucket when it was last asked
    empty_until: float = 0.0  # monotonic seconds


class RateLimits:
    """The limits of this process's callers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._purses: dict[str, _Purse] = {}
        self._lock = threading.Lock()

    def spend(self, identity: Identity) -> dict[str, str]:
        """Take a token for a request of `identity`; answer the header fields that say what is left, none where nothing is limited.

        Raises Refusal (429) when a bucket is empty. A key's own bucket comes first, so that one key cannot empty its tenant's with
        requests that are refused.
        """
        if identity.key_requests_per_minute is None and identity.tenant_requests_per_minute is None:
            return {}
        left: list[Left] = []
        for limit in limits_of(identity):
            left.append(self._spend(limit, left))
        return _fields(left)

    def _spend(self, limit: Limit, others: list[Left]) -> Left:
        with self._lock:
            purse = self._purses.get(limit.bucket_id)
            if purse is None:
                if len(self._purses) >= REMEMBERED_BUCKETS:
                    self._purses.clear()
                purse = self._purses[limit.bucket_id] = _Purse()
            if purse.tokens > 0:
                purse.tokens -= 1
                return self._left(limit, purse)
            if purse.empty_until > time.monotonic():
                raise _refused(limit, purse, others)
        taken = rate_buckets.take(self._store, limit.bucket_id, limit.per_minute)
        with self._lock:
            purse.tokens += taken.tokens
            purse.shared = taken.left
            if purse.tokens == 0:
                purse.empty_until = time.monotonic() + (1 - taken.left) * WINDOW_SECONDS / limit.per_minute
                raise _refused(limit, purse, others)
            purse.tokens -= 1
            return self._left(limit, purse)

    @staticmethod
    def _left(limit: Limit, purse: _Purse) -> Left:
        return Left(limit, purse.tokens + math.floor(purse.shared))


def limits_of(identity: Identity) -> Iterator[Limit]:
    """What limits the requests of this caller."""
    if identity.key_requests_per_minute is not None:
        yield Limit("key", f"key:{identity.key_id}", identity.key_requests_per_minute)
    if identity.tenant_requests_per_minute is not None:
        yield Limit("tenant", f"tenant:{identity.tenant_id}", identity.tenant_requests_per_minute)


def _fields(left: list[Left]) -> dict[str, str]:
    policies = (f'"{one.limit.name}";q={one.limit.per_minute};w={WINDOW_SECONDS:.0f}' for one in left)
    rest = (f'"{one.limit.name}";r={one.requests};t={one.full_in_seconds}' for one in left)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(rest)}


def _refused(limit: Limit, purse: _Purse, others: list[Left]) -> Refusal:
    seconds = max(1, math.ceil(purse.empty_until - time.monotonic()))
    whose = "This key" if limit.name == "key" else "All keys of this tenant together"
    detail = f"{whose} may send {limit.per_minute:,} requests a minute, and these are sent. Send the request again in {seconds} s."
    headers = {"Retry-After": str(seconds), **_fields([*others, Left(limit, 0)])}
    members: dict[str, Any] = {
        "quota": "requests_per_minute",
        "limit": limit.per_minute,
        "remedy": f"Wait {seconds} s, or ask the operator for more.",
    }
    return Refusal(429, "rate_limited", detail, headers=headers, **members)
