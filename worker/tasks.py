"""The Celery side of a worker: the one task, and what a worker process does when it starts and stops.

The parent process imports numpy, numba and the kernels once; its children share them. Everything with a connection or a
thread is made after the fork.
"""

from __future__ import annotations

import gc
import os
import signal

import structlog
from celery import signals

from service import log
from service.parent import exit_with_parent
from service.queue import TURN, Waker, make_app
from service.settings import Settings
from service.store import reaping, workers
from service.store.database import Store
from service.store.errors import StoreError
from worker.environment import fingerprint, parts
from worker.lease import Heartbeat
from worker.stopping import StopFlag
from worker.turn import Worker, take_turn

settings = Settings.from_environment()
app = make_app(settings)
stop_flag = StopFlag()
logger = structlog.get_logger(__name__)
_worker: Worker | None = None  # of this process, made after the fork


@app.task(name=TURN)
def turn() -> None:
    """Take a turn: claim jobs and work on them."""
    try:
        worker = this_worker()
    except StoreError as error:
        logger.warning("no turn: this process could not be registered", error=str(error))
    else:
        take_turn(worker)


@signals.setup_logging.connect
def set_up_logging(**_: object) -> None:
    """Log as the API does, instead of as Celery would."""
    log.configure(settings)


@signals.worker_shutting_down.connect
def ask_children_to_stop(**_: object) -> None:
    """In the parent: a slice ends at its next look, with a checkpoint."""
    stop_flag.set()


@signals.worker_process_init.connect
def start_process(**_: object) -> None:
    """In a child: open the store, say who we are, and end the leases of processes that are gone.

    Celery kills a child that takes seconds here, so a store out of reach is not waited for: the next turn tries again.
    """
    if stop_flag.is_set():  # in place of one that has left
        os._exit(0)
    exit_with_parent(os.getppid())
    gc.freeze()  # what is there now stays: the garbage collector took a twentieth of a small job
    try:
        this_worker()
    except StoreError as error:
        logger.warning("not registered yet", error=str(error))


def this_worker() -> Worker:
    """The worker that this process is; made when it is first asked for."""
    global _worker
    if _worker is None:
        store = Store(settings.database)
        try:
            _worker = make_worker(settings, store, stop_flag)
        except StoreError:
            store.close()
            raise
        _worker.heartbeat.start()
    return _worker


@signals.worker_process_shutdown.connect
def end_process(**_: object) -> None:
    """In a child: leave the list of workers, and when the whole worker stops, this world: the pool would sleep for a second first."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is on its way out already
    if _worker is not None:
        close_worker(_worker)
    if stop_flag.is_set():
        os._exit(0)


def make_worker(settings: Settings, store: Store, stop_flag: StopFlag) -> Worker:
    """A worker of this process, registered. The leases of dead processes of this machine are ended and their jobs queued again."""
    process = workers.process(os.getpid())
    if process is None:
        raise RuntimeError("this process cannot find itself")
    worker_id = workers.register(store, process, fingerprint(), parts())
    heartbeat = Heartbeat(store, worker_id, settings)
    worker = Worker(
        settings=settings,
        store=store,
        worker_id=worker_id,
        fingerprint=fingerprint(),
        heartbeat=heartbeat,
        stopping=stop_flag.is_set,
        wake=Waker(app, settings.wake_expiry_seconds).wake,
    )
    if workers.expire_dead(store, heartbeat_seconds=settings.heartbeat_seconds) and reaping.reap(store, settings.max_losses):
        worker.wake()
    return worker


def close_worker(worker: Worker) -> None:
    """Stop the heartbeat, leave the list of workers, and close the store."""
    worker.heartbeat.end()
    try:
        workers.leave(worker.store, worker.worker_id)
    except StoreError as error:
        logger.warning("could not leave the list of workers", error=str(error))
    worker.store.close()
