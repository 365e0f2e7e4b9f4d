"""/healthz: this process answers. /readyz: it can do its work."""

from __future__ import annotations

import socket
import threading
import time
from typing import Literal
from urllib.parse import urlsplit

from flask import Response
from pydantic import BaseModel, Field

from service.api.answers import answer, encode
from service.api.authentication import PUBLIC, needs
from service.api.context import context
from service.api.openapi import blueprint, json_answer
from service.api.problems import BUSY_SECONDS
from service.settings import Settings
from service.store import readiness

resource = blueprint("health", "Whether the service works.", "")

BROKER_TIMEOUT_SECONDS = 0.5
BROKER_REMEMBERED_SECONDS = 5.0
PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "pyamqp": 5672}


class Health(BaseModel):
    """This process answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether requests can be served."""

    status: Literal["ready", "not ready"]
    database: readiness.Readiness
    broker: Literal["up", "down"] = Field(description="While it is down jobs are accepted all the same, and start later.")


@resource.get("/healthz", responses={200: json_answer(Health, "It answers.")})
@needs(PUBLIC)
def check_health() -> Response:
    """Say that this process answers. Needs no key."""
    return answer(encode({"status": "ok"}))


@resource.get(
    "/readyz",
    responses={
        200: json_answer(Readiness, "It can."),
        503: json_answer(
            Readiness,
            "It cannot: the database is not there or not migrated.",
            headers={"Retry-After": "Seconds after which asking again makes sense."},
        ),
    },
)
@needs(PUBLIC)
def check_readiness() -> Response:
    """Say whether requests can be served. Needs no key.

    The database must be reachable and its schema the one of this version. The broker is reported, but nothing depends on it:
    messages only make jobs start sooner.
    """
    here = context()
    database = readiness.check(here.store)
    ready = database == "ready"
    document = {"status": "ready" if ready else "not ready", "database": database, "broker": broker.state(here.settings)}
    response = answer(encode(document), 200 if ready else 503, Cache_Control="no-store")
    if not ready:
        response.headers["Retry-After"] = str(BUSY_SECONDS)
    return response


class Broker:
    """Whether the broker's address answers, asked anew every few seconds: one that swallows packets delays few answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at = -BROKER_REMEMBERED_SECONDS
        self._is_up = False

    def state(self, settings: Settings) -> Literal["up", "down"]:
        """up or down, as far as is known."""
        with self._lock:
            if time.monotonic() - self._asked_at >= BROKER_REMEMBERED_SECONDS:
                self._is_up = _answers(settings)
                self._asked_at = time.monotonic()
            return "up" if self._is_up else "down"


def _answers(settings: Settings) -> bool:
    parts = urlsplit(settings.broker)
    if parts.scheme not in PORTS:
        return settings.broker_dir.is_dir()
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme]), BROKER_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


broker = Broker()
