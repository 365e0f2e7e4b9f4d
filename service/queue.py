"""The queue: a Celery app whose messages only say "there is work". The database decides which.

A wake carries no job, so a lost or doubled one loses or doubles nothing.
"""

from __future__ import annotations

import logging
import threading
import time

from celery import Celery

from service import folder_broker
from service.settings import Settings

TURN = "worker.turn"  # the one task; sent by name, so that whoever sends it need not import the worker
QUEUE = "turns"

PAUSE_SECONDS = 0.01  # between two wakes of a process: each costs the sender a message and a worker a look into an empty queue
LAST_RESORT_SECONDS = 1800  # beyond a turn; a hung slice is ended by its lease long before (worker/lease.py)

logger = logging.getLogger(__name__)


def make_app(settings: Settings) -> Celery:
    """The Celery app for the broker that `settings` names: a folder, Redis or RabbitMQ, by its URL alone."""
    app = Celery("sankofa", broker=settings.broker, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=False,  # the reaper retries, bounded; a redelivered poison would not be
        task_time_limit=settings.turn_seconds + LAST_RESORT_SECONDS,
        task_publish_retry=False,
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_acquire_timeout=5,
        broker_transport_options=_transport_options(settings),
        worker_prefetch_multiplier=1,
        worker_pool="worker.pool:TaskPool",
        worker_lost_wait=1,  # until a killed child's message is given up; only then does its parent fetch the next one
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
    )
    return app


class Waker:
    """Sends wakes from a thread of its own, so that a dead or black-holed broker delays nobody.

    Wakes that are asked for while one is being sent, or within PAUSE_SECONDS behind it, become one. A wake that cannot be sent is
    dropped: the reaper sends another while queued jobs wait.
    """

    def __init__(self, app: Celery, expiry_seconds: float) -> None:
        self._app = app
        self._expiry_seconds = expiry_seconds
        self._asked = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Ask for a wake to be sent soon; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            send_wake(self._app, self._expiry_seconds)
            time.sleep(PAUSE_SECONDS)


def send_wake(app: Celery, expiry_seconds: float) -> bool:
    """Send one wake; answer whether the broker took it."""
    try:
        app.send_task(TURN, expires=expiry_seconds)
    except Exception as error:  # the transports share no error: a full disk is one of AMQP's, a refused connection one of kombu's
        logger.warning("wake not sent, the reaper will send another: %s: %s", type(error).__name__, error)
        return False
    return True


def _transport_options(settings: Settings) -> dict[str, object]:
    scheme = settings.broker.partition(":")[0]
    if scheme == folder_broker.SCHEME:
        folder = settings.broker_dir
        return {
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(folder / "control"),
            "processed_folder": str(folder / "processed"),
            "store_processed": False,
            "polling_interval": 0.1,
        }
    # For sending: a broker that refuses is not asked again for six seconds. Consumers have their own, endless retries.
    refused_at_once: dict[str, object] = {"max_retries": 0}
    if scheme in ("redis", "rediss"):
        return {
            **refused_at_once,
            "visibility_timeout": 86400,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
    return refused_at_once
