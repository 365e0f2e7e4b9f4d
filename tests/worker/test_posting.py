"""One attempt against a real receiver: signed, bounded, nowhere it must not go."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

import sankofa
from service import receivers
from service.store.deliveries import Outcome, Outgoing
from tests.receiver import CERTIFICATE, Received, receiving
from worker import posting
from worker.posting import post, signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def outgoing(url: str, *secrets: str) -> Outgoing:
    return Outgoing("msg_1", "wh_1", "default", 1, url, secrets or (SECRET,), '{"test": 2432232314}')


def test_the_signature_is_that_of_the_known_vector() -> None:
    signed = signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_arrives_can_be_verified_with_every_secret_that_signs() -> None:
    another = "whsec_" + "c2VjcmV0" * 4
    with receiving() as receiver:
        assert post(outgoing(receiver.url, SECRET, another), 5, private=True) == Outcome(204, None)
        (received,) = receiver.received
    assert received.path == "/hook?to=us"
    assert received.headers["content-type"] == "application/json"
    for secret in (SECRET, another):
        assert sankofa.verify_webhook(received.body, received.headers, secret) == {"test": 2432232314}


@pytest.mark.parametrize(("status", "told"), [(500, "answered 500"), (410, "answered 410"), (404, "answered 404")])
def test_an_answer_that_is_no_2xx_is_a_failure(status: int, told: str) -> None:
    with receiving(status) as receiver:
        outcome = post(outgoing(receiver.url), 5, private=True)
    assert (outcome.status, told in (outcome.error or "")) == (status, True)


def test_redirects_are_not_followed() -> None:
    with receiving() as inside:

        def elsewhere(handler: BaseHTTPRequestHandler, received: Received) -> None:
            handler.send_response(307)
            handler.send_header("Location", inside.url)
            handler.end_headers()

        with receiving(elsewhere) as receiver:
            outcome = post(outgoing(receiver.url), 5, private=True)
        assert (outcome.status, inside.received) == (307, [])
    assert outcome.error == "The receiver answered 307. Redirects are not followed."


@pytest.mark.parametrize(("asked", "seconds"), [("120", 120.0), ("soon", 0.0), ("", 0.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)])
def test_a_receiver_may_ask_for_patience(asked: str, seconds: float) -> None:
    def later(handler: BaseHTTPRequestHandler, received: Received) -> None:
        handler.send_response(429)
        handler.send_header("Retry-After", asked)
        handler.end_headers()

    with receiving(later) as receiver:
        assert post(outgoing(receiver.url), 5, private=True).retry_after_seconds == seconds


class TestBounds:
    @pytest.fixture
    def serve(self) -> Callable[[Callable[[socket.socket], None]], str]:
        """Answers the URL of a server that does with its first connection what it is told."""

        def start(answer: Callable[[socket.socket], None]) -> str:
            listener = socket.create_server(("127.0.0.1", 0))

            def run() -> None:
                with listener, listener.accept()[0] as connection:
                    connection.recv(65536)
                    with suppress(OSError):
                        answer(connection)

            threading.Thread(target=run, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}/"

        return start

    @pytest.mark.parametrize("fed", [b"", b"H", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["silent", "1", "2", "3"])
    def test_time_ends_also_for_a_receiver_that_goes_on_and_on(self, serve: Any, fed: bytes) -> None:
        def drip(connection: socket.socket) -> None:
            connection.sendall(fed)
            for _ in range(100):
                time.sleep(0.05)
                connection.sendall(fed[-1:] if not fed.endswith(b"\n") else fed)

        started = time.monotonic()
        outcome = post(outgoing(serve(drip)), 0.5, private=True)
        assert 0.4 < time.monotonic() - started < 2
        assert outcome == Outcome(None, "No answer within 0.5 s.")

    def test_a_body_that_never_ends_delays_nothing_and_changes_nothing(self, serve: Any) -> None:
        def endless(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)

        started = time.monotonic()
        assert post(outgoing(serve(endless)), 5, private=True) == Outcome(200, None)
        assert time.monotonic() - started < 2

    def test_a_head_without_end_is_not_read_on(self, serve: Any) -> None:
        lines = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: " % number + b"x" * 2000 + b"\r\n" for number in range(60))
        outcome = post(outgoing(serve(lambda connection: connection.sendall(lines))), 5, private=True)
        assert outcome.error == "The answer's head is longer than 65,536 bytes."

    @pytest.mark.parametrize(
        "said", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\xff" * 100, b"HTTP/1.1 204\r\n" + b":\r\n" * 200]
    )
    def test_what_is_no_http_is_a_failure(self, serve: Any, said: bytes) -> None:
        outcome = post(outgoing(serve(lambda connection: connection.sendall(said))), 5, private=True)
        assert outcome.status is None
        assert outcome.error is not None

    def test_nobody_there_is_a_failure(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        assert "cannot be reached" in (post(outgoing(f"http://127.0.0.1:{port}/"), 5, private=True).error or "")


class TestPlaces:
    def test_an_address_that_is_not_public_is_not_connected_to(self) -> None:
        with receiving(secure=True) as receiver:
            outcome = post(outgoing(receiver.url), 5, private=False)
            assert receiver.received == []
        assert outcome.error is not None
        assert outcome.error.startswith("Not sent: localhost leads to")

    def test_the_address_that_was_looked_at_is_the_one_connected_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that answers with a public address first and with ours afterwards gains nothing: it is asked once."""
        asked: list[str] = []

        def rebinding(host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            address = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        connected: list[Any] = []

        def connect(address: Any, timeout: float) -> socket.socket:
            connected.append(address)
            raise ConnectionRefusedError("refused")

        monkeypatch.setattr(receivers.socket, "getaddrinfo", rebinding)
        monkeypatch.setattr(posting.socket, "create_connection", connect)
        post(outgoing("https://rebinding.example/"), 5, private=False)
        assert (asked, connected) == (["rebinding.example"], [("8.8.8.8", 443)])

    def test_a_certificate_must_be_valid(self) -> None:
        with receiving(secure=True) as receiver:
            outcome = post(outgoing(receiver.url), 5, private=True)
            assert receiver.received == []
        assert outcome.error is not None
        assert "certificate is not valid" in outcome.error

    def test_a_certificate_must_be_for_the_name_in_the_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
        monkeypatch.setattr(posting, "_tls", lambda: trusting)
        with receiving(secure=True) as receiver:
            assert post(outgoing(receiver.url), 5, private=True) == Outcome(204, None)
            by_address = post(outgoing(receiver.url.replace("localhost", "127.0.0.1")), 5, private=True)
            assert len(receiver.received) == 1
        assert "certificate is not valid" in (by_address.error or "")
