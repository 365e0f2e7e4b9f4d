"""A receiver of webhooks: an HTTP server on this machine that keeps what it is sent and answers what it is told."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CERTIFICATE = Path(__file__).with_name("localhost.pem")  # of its own authority, for the name localhost, with its key


@dataclass
class Received:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver(ThreadingHTTPServer):
    """Answers 204, or as `answer` does."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, Received], None] | int = 204, *, secure: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.received: list[Received] = []
        self.secure = secure
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{'https://localhost' if self.secure else 'http://127.0.0.1'}:{self.server_port}/hook?to=us"

    def ids(self) -> list[str]:
        """The ids of what has arrived, in that order."""
        return [received.id for received in list(self.received)]

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Received]:
        """What has arrived, once it is so much."""
        ends_at = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < ends_at, f"{len(self.received)} of {count} arrived within {seconds} s"
            time.sleep(0.01)
        return list(self.received)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that goes away, or refuses our certificate, is nothing to speak of."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.received.append(received)
        if isinstance(self.server.answer, int):
            self.send_response(self.server.answer)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.server.answer(self, received)

    def do_GET(self) -> None:
        raise AssertionError("nobody asks a receiver for anything")

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def receiving(answer: Any = 204, *, secure: bool = False) -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(answer, secure=secure)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()
