"""The lease of a claimed job, and the thread that renews it while the job makes progress."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from service.settings import Settings
from service.store import claims, workers
from service.store.claims import Claim
from service.store.clock import since_boot
from service.store.database import Store
from service.store.errors import LostClaim, StoreError

LATE_BEATS = 6  # heartbeats for which a slice may go on when its lease has lapsed

logger = structlog.get_logger(__name__)


class Lease:
    """The right to write to a job, judged by this process's own clock, database reachable or not."""

    def __init__(self, claim: Claim, claimed_at: float, settings: Settings) -> None:
        """claimed_at: `since_boot()` taken before the claim was sent."""
        self.claim = claim
        self._lease_seconds = settings.lease_seconds
        self._stall_seconds = settings.stall_seconds
        self._until = claimed_at + settings.lease_seconds
        self._moved_at = claimed_at
        self._lost = False

    @property
    def held(self) -> bool:
        """Whether this process may still write to the job."""
        return not self._lost and since_boot() < self._until

    def moved(self) -> None:
        """Say that the job made progress. A lease without progress is not renewed: a hung job loses it."""
        self._moved_at = since_boot()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Renews the lease without progress meanwhile: a kernel may take a loaded machine a minute to compile."""
        self._stall_seconds, impatient = math.inf, self._stall_seconds
        try:
            yield
        finally:
            self._stall_seconds = impatient
            self.moved()

    def lose(self) -> None:
        """Give the lease up: the job is somebody else's."""
        self._lost = True

    def renew(self, store: Store) -> None:
        """Lengthen the lease, unless it is lost or the job stands still."""
        sent_at = since_boot()
        if self._lost or sent_at - self._moved_at > self._stall_seconds:
            return
        try:
            claims.renew(store, self.claim, self._lease_seconds)
        except LostClaim:
            self._lost = True
        else:
            self._until = sent_at + self._lease_seconds


class Heartbeat(threading.Thread):
    """Says every few seconds that this worker is alive, and renews the lease of the job it works on.

    A slice looks at its lease several times a second. One that does not when it has lapsed hangs, in a kernel or in a library, where no
    exception reaches it: then this process is killed. Another has the job, or will have it.
    """

    def __init__(self, store: Store, worker_id: str, settings: Settings) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.lease: Lease | None = None
        self._store = store
        self._worker_id = worker_id
        self._every_seconds = settings.heartbeat_seconds
        self._ended = threading.Event()

    def run(self) -> None:
        late = 0
        while not self._ended.wait(self._every_seconds):
            lease = self.lease
            try:
                workers.beat(self._store, self._worker_id)
                if lease is not None:
                    lease.renew(self._store)
            except StoreError as error:
                logger.warning("heartbeat not written", error=str(error))
            late = 0 if lease is None or lease.held else late + 1
            if late >= LATE_BEATS and lease is not None:
                logger.error("the slice hangs, its process is killed", job_id=lease.claim.job_id)
                os.kill(os.getpid(), signal.SIGKILL)

    def end(self) -> None:
        """Stop the thread at its next look."""
        self._ended.set()
