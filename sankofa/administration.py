"""What an admin key looks after: keys, tenants and the audit log. Answers are the API's documents, as dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sankofa.connection import Connection, quoted


class Keys:
    """The API keys of a service: `client.keys`. Needs a key with the scope admin."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        name: str,
        scopes: Sequence[str] = ("read", "write"),
        *,
        tenant: str | None = None,
        expires_after_seconds: int | None = None,
        requests_per_minute: int | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """A new key; its `key` is shown this once and kept nowhere.

        scopes: read, write, admin. tenant: whose it is; your own, unless yours is the operator's. expires_after_seconds: None is never.
        Raises NotFound for a tenant that there is not.
        """
        body = {
            "name": name,
            "scopes": list(scopes),
            "tenant": tenant,
            "expires_after_seconds": expires_after_seconds,
            "requests_per_minute": requests_per_minute,
        }
        return self._post("/v1/keys", body, idempotency_key)

    def list(self, *, tenant: str | None = None, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Every key, newest first; those of a tenant, or in a state: active, expired, revoked."""
        return self._connection.pages("/v1/keys", tenant=tenant, state=state)

    def get(self, key_id: str) -> dict[str, Any]:
        """What a key may do, when it was last used, when it ends. Raises NotFound."""
        return dict(self._connection.get(_path("/v1/keys", key_id)))

    def rotate(self, key_id: str, *, overlap_seconds: int = 3600, idempotency_key: str | None = None) -> dict[str, Any]:
        """A new key that may do the same; the old one opens for `overlap_seconds` more. Raises NotFound, Conflict."""
        return self._post(f"{_path('/v1/keys', key_id)}/rotate", {"overlap_seconds": overlap_seconds}, idempotency_key)

    def revoke(self, key_id: str) -> None:
        """End a key for ever. Raises NotFound; Conflict for the key in use."""
        self._connection.request("DELETE", _path("/v1/keys", key_id))

    def _post(self, path: str, body: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        return dict(self._connection.document(self._connection.request("POST", path, body=body, idempotency_key=idempotency_key)))


class Tenants:
    """The tenants of a service: `client.tenants`. Needs a key with the scope admin, of the operator for changes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, tenant_id: str, name: str | None = None, quotas: Mapping[str, int | None] | None = None) -> dict[str, Any]:
        """A new tenant. quotas: those that are left out are not limited. Raises Conflict where there is one with this id."""
        body = {"id": tenant_id, "name": name, "quotas": dict(quotas or {})}
        return dict(self._connection.document(self._connection.request("POST", "/v1/tenants", body=body)))

    def list(self) -> Iterator[dict[str, Any]]:
        """Every tenant by its id."""
        return self._connection.pages("/v1/tenants")

    def get(self, tenant_id: str) -> dict[str, Any]:
        """A tenant and its quotas. Raises NotFound."""
        return dict(self._connection.get(_path("/v1/tenants", tenant_id)))

    def change(self, tenant_id: str, *, name: str | None = None, quotas: Mapping[str, int | None] | None = None) -> dict[str, Any]:
        """The tenant with another name or other quotas; what is left out stays, None takes a limit away. Raises NotFound, NotAllowed."""
        body: dict[str, Any] = {"quotas": dict(quotas or {})} | ({} if name is None else {"name": name})
        return dict(self._connection.document(self._connection.request("PATCH", _path("/v1/tenants", tenant_id), body=body)))


def _path(collection: str, identifier: str) -> str:
    whose = "a tenant" if collection.endswith("tenants") else "a key"
    return f"{collection}/{quoted(identifier, whose)}"
