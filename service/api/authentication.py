"""Who asks, and whether they may: `Authorization: Bearer KEY`, and the scope that a view needs.

A view says which scope it needs with `@needs("read")`; one that says nothing cannot be registered.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar, cast

import structlog
from flask import Flask, g, request

from service.api.problems import Refusal
from service.store import keys
from service.store.database import Store
from service.store.keys import Identity

REMEMBERED_SECONDS = 5.0  # a revoked key may be used this long
REMEMBERED_KEYS = 1024
PUBLIC = "public"
REALM = 'Bearer realm="sankofa"'

View = TypeVar("View", bound=Callable[..., object])


def needs(scope: str) -> Callable[[View], View]:
    """Marks a view with the scope that its caller's key must have; PUBLIC needs no key."""

    def mark(view: View) -> View:
        view.scope = scope  # type: ignore[attr-defined]
        return view

    return mark


def scope_of(app: Flask, endpoint: str) -> str:
    """The scope that a view was marked with."""
    return cast(str, getattr(app.view_functions[endpoint], "scope"))  # noqa: B009  a view without one is an error of ours


def identity() -> Identity:
    """Who sends the current request."""
    return cast(Identity, g.identity)


def tenant_id() -> str:
    """Whose things the current request is about."""
    return identity().tenant_id


class Identities:
    """Whose key is whose, remembered for a few seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[bytes, tuple[float, Identity]] = {}
        self._lock = threading.Lock()

    def identify(self, key: str) -> Identity | None:
        """Whose key this is, or None if it is nobody's."""
        digest = hashlib.sha256(key.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        found = keys.identify(self._store, key)
        with self._lock:
            if found is None:
                self._known.pop(digest, None)
            else:
                if len(self._known) >= REMEMBERED_KEYS:
                    self._known.clear()
                self._known[digest] = (time.monotonic() + REMEMBERED_SECONDS, found)
        return found


def install(app: Flask, store: Store) -> None:
    """Have every request to `app` that reaches a view authenticated first. To be called when all views are registered."""
    identities = Identities(store)
    scopes = {endpoint: scope_of(app, endpoint) for endpoint in app.view_functions}

    @app.before_request
    def authenticate() -> None:
        scope = scopes.get(request.endpoint or "", PUBLIC)
        if scope == PUBLIC:
            return
        sent = request.authorization
        if sent is None or sent.type != "bearer" or not sent.token:
            detail = "This needs an API key: send it as `Authorization: Bearer KEY`."
            raise Refusal(401, "missing_key", detail, headers={"WWW-Authenticate": REALM})
        found = identities.identify(sent.token)
        if found is None:
            raise Refusal(
                401, "unknown_key", "This API key is not known here.", headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
            )
        if scope not in found.scopes:
            detail = f"This needs a key with the scope {scope!r}; the key sent has {', '.join(sorted(found.scopes)) or 'none'}."
            challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
            raise Refusal(403, "missing_scope", detail, headers={"WWW-Authenticate": challenge})
        g.identity = found
        structlog.contextvars.bind_contextvars(tenant=found.tenant_id)
