"""Sends the deliveries of webhooks, beside the reaper and out of its way: threads of its own, database connections of its own.

A receiver that is slow or dead costs nobody but itself: of the deliveries under way only a few are of one webhook, a quarter of one tenant,
and half of webhooks that take nothing at present. Several senders do no harm.
"""

from __future__ import annotations

import threading
from collections import Counter

import structlog

from service.settings import Settings
from service.store import audit, deliveries
from service.store.audit import Actor
from service.store.database import Store
from service.store.deliveries import Outgoing, Room
from service.store.errors import StoreError
from worker.posting import post

LOOK_SECONDS = 0.5
AT_ONCE = 64  # deliveries under way in this process
FAILING_AT_ONCE = AT_ONCE // 2  # of them to webhooks that take nothing at present
OF_A_TENANT = AT_ONCE // 4  # of them for one tenant
OF_A_WEBHOOK = 4  # of them to one webhook
LOST_SECONDS = 10.0  # beyond the time that an attempt may take: then its process is taken for dead
END_SECONDS = 1.0  # how long a stopping process waits for what is under way; the rest is sent again by another
SERVICE = Actor("service", None)  # whom the audit log names when a webhook is disabled

logger = structlog.get_logger(__name__)


class Sender(threading.Thread):
    """The loop that looks for deliveries whose time has come and gives each a thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._settings = settings
        self._store = Store(settings.database)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._under_way: dict[threading.Thread, Outgoing] = {}

    def run(self) -> None:
        while not self._ended.is_set():
            started = 0
            try:
                started = self.round()
            except StoreError as error:
                logger.warning("webhooks not looked for", error=str(error))
            except Exception:
                logger.exception("webhooks not looked for")
            self._ended.wait(LOOK_SECONDS if not started else 0.01)

    def round(self) -> int:
        """Begin to send what is due, as far as there are threads for it; answer how many."""
        with self._lock:
            under_way = list(self._under_way.values())
        room = Room(
            free=AT_ONCE - len(under_way),
            failing_free=FAILING_AT_ONCE - sum(sent.failing for sent in under_way),
            of_a_webhook=OF_A_WEBHOOK,
            of_a_tenant=OF_A_TENANT,
            by_webhook=Counter(sent.webhook_id for sent in under_way),
            by_tenant=Counter(sent.tenant_id for sent in under_way),
        )
        taken = deliveries.claim(self._store, room, self._settings.webhook_timeout_seconds + LOST_SECONDS)
        for sent in taken:
            thread = threading.Thread(target=self._send, args=(sent,), name=sent.id, daemon=True)
            with self._lock:
                self._under_way[thread] = sent
            thread.start()
        return len(taken)

    def end(self) -> None:
        """Begin no more, and give what is under way a moment."""
        self._ended.set()
        with self._lock:
            waiting = list(self._under_way)
        for thread in waiting:
            thread.join(END_SECONDS / len(waiting))

    def _send(self, sent: Outgoing) -> None:
        audit.acts(SERVICE)
        try:
            outcome = post(sent, self._settings.webhook_timeout_seconds, private=self._settings.webhook_private)
            deliveries.finish(self._store, sent, outcome)
            of = {"delivery": sent.id, "webhook": sent.webhook_id, "attempt": sent.attempt}
            if outcome.error is None:
                logger.info("webhook sent", **of, status=outcome.status)
            else:
                answered = {} if outcome.status is None else {"status": outcome.status}
                logger.warning("webhook not taken", **of, **answered, error=outcome.error)
        except StoreError as error:  # it is sent again, when it is taken for lost
            logger.warning("what became of a webhook was not written", delivery=sent.id, error=str(error))
        except Exception:
            logger.exception("webhook not sent", delivery=sent.id)
        finally:
            with self._lock:
                del self._under_way[threading.current_thread()]
