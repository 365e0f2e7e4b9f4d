"""`python -m worker.reaper`: ends expired leases, wakes workers while jobs wait, sends webhooks, and removes what nobody needs any more.

Everything it does is an idempotent update: several reapers do no harm, and one that was killed is missed for seconds.
"""

from __future__ import annotations

import signal
import threading
import time

import structlog

from service import log
from service.parent import exit_with_parent
from service.queue import Waker, make_app
from service.settings import Settings
from service.store import (
    audit,
    blobs,
    checkpoints,
    deadlines,
    deliveries,
    idempotency,
    migrate,
    rate_buckets,
    reaping,
    trash,
    uploads,
    workers,
)
from service.store.database import Store
from service.store.errors import StoreError
from worker.sender import Sender

CLEAN_SECONDS = 600.0

logger = structlog.get_logger(__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = Settings.from_environment()
    log.configure(settings)
    exit_with_parent()
    settings.make_data_dir()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    store = Store(settings.database)
    if migrate.wait_until_current(store, ended):
        sender = Sender(settings)
        sender.start()
        run(store, Waker(make_app(settings), settings.wake_expiry_seconds), settings, ended)
        sender.end()


def run(store: Store, waker: Waker, settings: Settings, ended: threading.Event) -> None:
    """A round every `reaper_seconds`, and every ten minutes a clean-up, until `ended`."""
    cleaned_at = -CLEAN_SECONDS
    while not ended.is_set():
        try:
            reap_round(store, waker, settings)
            if time.monotonic() - cleaned_at >= CLEAN_SECONDS:
                clean(store, settings)
                cleaned_at = time.monotonic()
        except StoreError as error:
            logger.warning("round skipped", error=str(error))
        ended.wait(settings.reaper_seconds)
    store.close()


def reap_round(store: Store, waker: Waker, settings: Settings) -> None:
    """End leases that expired, fail jobs whose deadline is over, and send a wake if jobs wait and no other reaper has just sent one."""
    workers.expire_dead(store, heartbeat_seconds=settings.heartbeat_seconds)
    for reaped in reaping.reap(store, settings.max_losses):
        logger.warning("lease expired", job_id=reaped.job_id, state=reaped.state, losses=reaped.losses)
    for job_id in deadlines.expire(store):
        logger.info("deadline over", job_id=job_id)
    if reaping.may_wake(store, settings.reaper_seconds):
        waker.wake()


def clean(store: Store, settings: Settings) -> None:
    """Remove what nobody needs: old idempotency keys, checkpoints, uploads, audit entries and deliveries, trash, unnamed bytes, disk."""
    idempotency.remove_expired(store, settings.idempotency_seconds)
    checkpoints.remove_old(store, settings.checkpoint_retention_seconds)
    trash.purge_old(store, settings.trash_retention_seconds)
    uploads.remove_expired(store, settings.upload_retention_seconds)
    audit.remove_old(store, settings.audit_retention_seconds)
    deliveries.remove_old(store, settings.webhook_retention_seconds)
    rate_buckets.remove_full(store)
    blobs.remove_orphans(store)
    store.give_back_pages()


if __name__ == "__main__":
    main()
