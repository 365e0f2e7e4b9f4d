"""The webhooks of a tenant: addresses that are told of its jobs. Answers are the API's documents, as dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sankofa.connection import Connection, quoted


class Webhooks:
    """The webhooks of your tenant: `client.webhooks`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        url: str,
        events: Sequence[str] | None = None,
        *,
        name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """A new webhook; its `secret`, for `verify_webhook`, is shown this once.

        events: job.started, job.paused, job.succeeded, job.failed, job.stopped, job.cancelled; None is every end of a job. tags: only jobs
        that have all of these. Raises InvalidRequest for an address that is not public, or not https.
        """
        told = {"name": name, "events": None if events is None else list(events), "tags": None if tags is None else dict(tags)}
        body = {"url": url, **{key: value for key, value in told.items() if value is not None}}
        return self._post("/v1/webhooks", body, idempotency_key)

    def list(self) -> Iterator[dict[str, Any]]:
        """Every webhook, newest first."""
        return self._connection.pages("/v1/webhooks")

    def get(self, webhook_id: str) -> dict[str, Any]:
        """What a webhook is told, and whether it takes it. Raises NotFound."""
        return dict(self._connection.get(_path(webhook_id)))

    def change(self, webhook_id: str, **values: Any) -> dict[str, Any]:
        """The webhook with other values of name, url, events, tags or enabled; what is left out stays. Raises NotFound, InvalidRequest."""
        return dict(self._connection.document(self._connection.request("PATCH", _path(webhook_id), body=values)))

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook, and what waits to be sent to it. Raises NotFound."""
        self._connection.request("DELETE", _path(webhook_id))

    def rotate(self, webhook_id: str, *, overlap_seconds: int = 86400, idempotency_key: str | None = None) -> dict[str, Any]:
        """The webhook with a new `secret`, shown this once; the old one signs beside it for `overlap_seconds`. Raises NotFound."""
        return self._post(f"{_path(webhook_id)}/rotate", {"overlap_seconds": overlap_seconds}, idempotency_key)

    def test(self, webhook_id: str) -> dict[str, Any]:
        """A delivery of the type webhook.test, sent now; `deliveries` says what became of it. Raises NotFound; Conflict if disabled."""
        return self._post(f"{_path(webhook_id)}/test", None, None)

    def deliveries(self, webhook_id: str, *, state: str | None = None) -> Iterator[dict[str, Any]]:
        """What was sent and is to be sent, newest first; those in a state: pending, succeeded, failed. Raises NotFound."""
        return self._connection.pages(f"{_path(webhook_id)}/deliveries", state=state)

    def redeliver(self, webhook_id: str, delivery_id: str) -> dict[str, Any]:
        """The delivery, sent again now with the same id and body. Raises NotFound; Conflict if the webhook is disabled."""
        return self._post(f"{_path(webhook_id)}/deliveries/{quoted(delivery_id, 'a delivery')}/redeliver", None, None)

    def _post(self, path: str, body: dict[str, Any] | None, idempotency_key: str | None) -> dict[str, Any]:
        return dict(self._connection.document(self._connection.request("POST", path, body=body, idempotency_key=idempotency_key)))


def _path(webhook_id: str) -> str:
    return f"/v1/webhooks/{quoted(webhook_id, 'a webhook')}"
