"""`python -m worker`: a Celery worker whose child processes train jobs, SANKOFA_WORKERS of them at once."""

from __future__ import annotations

import os
import socket
import threading
import warnings

from worker.environment import use_one_blas_thread


def main() -> None:
    """Run until SIGTERM; then every job is checkpointed and released."""
    use_one_blas_thread()
    from celery import signals
    from celery.platforms import SecurityWarning

    from nncore.machine.compilation import usual_kernels, warm
    from service import log
    from service.parent import exit_with_parent
    from service.store import migrate
    from service.store.database import Store
    from worker.stopping import leave_when_released
    from worker.tasks import app, settings

    warnings.simplefilter("ignore", SecurityWarning)  # it warns root of pickled messages; only JSON is accepted
    exit_with_parent()
    log.configure(settings)
    settings.make_data_dir()
    store = Store(settings.database)
    migrate.wait_until_current(store)
    store.close()  # its connections are not the children's
    warm("float32", usual_kernels())  # shared by the children
    stop_asked = threading.Event()
    signals.worker_shutting_down.connect(lambda **_: stop_asked.set(), weak=False)
    threading.Thread(target=leave_when_released, args=(stop_asked,), name="leave-when-released", daemon=True).start()
    app.worker_main(
        [
            "--quiet",
            "worker",
            f"--hostname=sankofa-{os.getpid()}@{socket.gethostname()}",
            f"--concurrency={settings.workers}",
            f"--loglevel={settings.log_level}",
            "--without-mingle",
            "--without-gossip",
        ]
    )


if __name__ == "__main__":
    main()
