"""Who asks, and whether they may: `Authorization: Bearer KEY`, and the scope that a view needs.

A view says which scope it needs with `@needs("read")`; one that says nothing cannot be registered.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

import structlog
from flask import Flask, Response, g, request

from service.api.problems import Refusal
from service.api.rate_limits import RateLimits
from service.store import audit, keys
from service.store.audit import Actor
from service.store.database import Store
from service.store.errors import KeyEnded, NotFound, StoreError
from service.store.keys import Identity

REMEMBERED_SECONDS = 5.0  # a revoked key may be used this long
REMEMBERED_KEYS = 1024
PUBLIC = "public"
REALM = 'Bearer realm="sankofa"'

logger = structlog.get_logger(__name__)

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


def actor() -> Actor:
    """The current request's sender, as the audit log names it."""
    return Actor(identity().key_id, g.request_id)


def tenant_id() -> str:
    """Whose things the current request is about."""
    return identity().tenant_id


def reach() -> str | None:
    """The tenant whose keys, limits and log the sender may look after: its own, or None for all of them if it is the operator."""
    return None if identity().is_operator else identity().tenant_id


def narrowed(tenant: str | None) -> str | None:
    """What `reach` allows, cut down to `tenant` where one is named. Raises NotFound for one that is out of reach."""
    if tenant is not None and reach() not in (None, tenant):
        raise NotFound("tenant", tenant)
    return tenant or reach()


class Identities:
    """Whose key is whose, remembered for a few seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[bytes, tuple[float, Identity]] = {}
        self._lock = threading.Lock()

    def identify(self, key: str) -> Identity | None:
        """Whose key this is, or None if it is nobody's. Raises KeyEnded."""
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
                # Whoever asks first writes that the key is used; the others need not.
                self._known[digest] = (time.monotonic() + REMEMBERED_SECONDS, replace(found, unmarked=False))
        return found

    def forget(self) -> None:
        """Ask for every key again: one of them, or what its tenant may do, has changed."""
        with self._lock:
            self._known.clear()


def install(app: Flask, store: Store, identities: Identities) -> None:
    """Have every request to `app` that reaches a view authenticated first. To be called when all views are registered."""
    rate_limits = RateLimits(store)
    scopes = {endpoint: scope_of(app, endpoint) for endpoint in app.view_functions}

    @app.before_request
    def authenticate() -> None:
        audit.acts(None)
        scope = scopes.get(request.endpoint or "", PUBLIC)
        if scope == PUBLIC:
            return
        sent = request.authorization
        if sent is None or sent.type != "bearer" or not sent.token:
            detail = "This needs an API key: send it as `Authorization: Bearer KEY`."
            raise Refusal(401, "missing_key", detail, headers={"WWW-Authenticate": REALM})
        try:
            found = identities.identify(sent.token)
        except KeyEnded as error:
            challenge = f'{REALM}, error="invalid_token"'
            raise Refusal(401, f"{error.how}_key", f"{error} Use another one.", headers={"WWW-Authenticate": challenge}) from None
        if found is None:
            raise Refusal(
                401, "unknown_key", "This API key is not known here.", headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
            )
        if scope not in found.scopes:
            detail = f"This needs a key with the scope {scope!r}; the key sent has {', '.join(sorted(found.scopes)) or 'none'}."
            challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
            raise Refusal(403, "missing_scope", detail, headers={"WWW-Authenticate": challenge})
        g.identity = found
        structlog.contextvars.bind_contextvars(tenant=found.tenant_id, key=found.key_id)
        g.rate_limit = rate_limits.spend(found)
        audit.acts(actor())

    @app.after_request
    def tell(response: Response) -> Response:
        found: Identity | None = g.get("identity")
        if found is not None:
            if fields := g.get("rate_limit"):
                response.headers.update(fields)
            if found.unmarked:
                response.call_on_close(lambda: _mark_used(store, found))
        return response


def _mark_used(store: Store, found: Identity) -> None:
    """Write that a key is used, when its request has been answered: the answer waits for nothing, and needs no database for it."""
    try:
        keys.mark_used(store, found.key_id)
    except StoreError as error:
        logger.info("that a key is used was not written", key=found.key_id, error=str(error))
