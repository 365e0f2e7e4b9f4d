"""A request id on every request, and a log line for every answer, with the ids of what it is about."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from flask import Flask, Response, g, request

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
QUIET_ROUTES = {"/healthz", "/readyz"}
SHOWN_CHARACTERS = 60  # of an id that may be anything

logger = structlog.get_logger(__name__)


def about(**ids: str) -> None:
    """Have the lines of this request say which job or dataset it is about."""
    structlog.contextvars.bind_contextvars(**{name: text[:SHOWN_CHARACTERS] for name, text in ids.items()})


def install(app: Flask) -> None:
    """Give every request to `app` an id, the one it came with if that is sane, and log it when its answer begins."""

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        sent = request.headers.get("X-Request-ID", "")
        g.request_id = sent if REQUEST_ID.fullmatch(sent) else f"req_{secrets.token_hex(12)}"
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)
        about(**{name: text for name, text in (request.view_args or {}).items() if name in ("job_id", "dataset_id", "upload_id")})

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        route = request.url_rule.rule if request.url_rule else None
        log = logger.debug if route in QUIET_ROUTES else logger.info
        milliseconds = round((time.perf_counter() - g.started) * 1000, 1)
        log("request", method=request.method, route=route, status=response.status_code, milliseconds=milliseconds)
        return response
