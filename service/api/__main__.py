"""`python -m service.api`: the API server, until SIGTERM or SIGINT, or until whoever started it is gone."""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import structlog
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from service import log
from service.parent import exit_with_parent
from service.settings import InvalidSettings, Settings

STOP_SECONDS = 5  # a request that takes longer than this to finish is cut off when the server stops
HEADERS_MILLISECONDS = 10_000
BACKLOG = 1024

# The server's own lines take the way of all others: to the root logger, which `service.log` has set up.
SERVER_LOG = {"version": 1, "disable_existing_loggers": False, "loggers": {"_granian": {"propagate": True}}}

logger = structlog.get_logger(__name__)


def main() -> int:
    """Serve. Answers the exit code: 2 when the settings are invalid, 1 when the address cannot be had."""
    try:
        settings = Settings.from_environment()
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    log.configure(settings)
    exit_with_parent()
    settings.make_data_dir()
    try:
        port = free_port(settings.host, settings.port)
    except OSError as error:
        logger.error("cannot listen", host=settings.host, port=settings.port, error=error.strerror)
        return 1
    server = Server(
        "service.api",
        address=settings.host,
        port=port,
        interface=Interfaces.WSGI,
        workers=settings.api_processes,
        blocking_threads=settings.api_threads,
        backlog=BACKLOG,
        backpressure=BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_MILLISECONDS),
        websockets=False,
        workers_kill_timeout=STOP_SECONDS,
        respawn_failed_workers=True,
        log_level=LogLevels.error,
        log_dictconfig=SERVER_LOG,
    )
    logger.info("listening", url=f"http://{settings.host}:{port}", processes=settings.api_processes)
    server.serve(target_loader=load, wrap_loader=False)
    return 0


def free_port(host: str, port: int) -> int:
    """`port`, or a free one for 0. Raises OSError when somebody listens there.

    The server's processes share the port (SO_REUSEPORT), and so would a second server, unnoticed: hence this look before.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind((host, port))
        tried.listen(1)
        return int(tried.getsockname()[1])


def load() -> Callable[..., Any]:
    """The app, in a process of the server."""
    parent = multiprocessing.parent_process()
    exit_with_parent(parent.pid if parent else os.getppid())
    settings = Settings.from_environment()
    log.configure(settings)
    from service.api.app import create_app
    from service.api.context import NAME

    app = create_app(settings)
    gc.freeze()  # what is there now stays: the garbage collector took a tenth of a POST
    app.extensions[NAME].streams.close_on_signal()
    return app


if __name__ == "__main__":
    sys.exit(main())
