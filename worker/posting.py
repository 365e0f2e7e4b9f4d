"""One attempt to deliver a webhook: a signed POST to an address that was looked at, with bounds on its time and on what is read."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import http.client
import io
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from typing import IO, Any, cast

from service import receivers
from service.receivers import ForbiddenReceiver, Receiver
from service.store.deliveries import Outcome, Outgoing

MOST_ANSWER_BYTES = 64 << 10


class AnswerTooLong(Exception):
    """The receiver sent more than MOST_ANSWER_BYTES."""


def signature(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of id.timestamp.body in base64, as standardwebhooks.com has it. secret: whsec_ and a key in base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def post(sent: Outgoing, timeout_seconds: float, *, private: bool) -> Outcome:
    """Send it once, and say what became of it. Redirects are not followed; a certificate must be valid for the name in the URL.

    It takes `timeout_seconds` at the most, after the name is resolved. private: see `receivers`.
    """
    try:
        receiver = receivers.parse(sent.url, private=private)
        addresses = receivers.resolve(receiver, private=private)
        with _connect(receiver, addresses, time.monotonic() + timeout_seconds) as wire:
            return _exchange(wire, receiver, sent)
    except ForbiddenReceiver as error:
        return Outcome(None, f"Not sent: {error}.")
    except AnswerTooLong:
        return Outcome(None, f"The answer's head is longer than {MOST_ANSWER_BYTES:,} bytes.")
    except TimeoutError:
        return Outcome(None, f"No answer within {timeout_seconds:g} s.")
    except ssl.SSLCertVerificationError as error:
        return Outcome(None, f"The receiver's certificate is not valid: {error.verify_message}.")
    except (OSError, http.client.HTTPException) as error:
        return Outcome(None, f"The receiver cannot be reached: {str(error) or type(error).__name__}.")


def _exchange(wire: _Wire, receiver: Receiver, sent: Outgoing) -> Outcome:
    body, timestamp = sent.body.encode(), int(time.time())
    headers = {
        "Host": receiver.authority,
        "User-Agent": f"Sankofa/{version('sankofa')}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "webhook-id": sent.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, sent.id, timestamp, body) for secret in sent.secrets),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    wire.send(f"POST {receiver.path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body)
    answer = http.client.HTTPResponse(cast(socket.socket, wire), method="POST")
    answer.begin()
    with suppress(
        OSError, ValueError, http.client.HTTPException, AnswerTooLong
    ):  # read, so that the receiver is not cut off; nobody needs it
        answer.read(MOST_ANSWER_BYTES)
    if 200 <= answer.status < 300:
        return Outcome(answer.status, None)
    redirected = " Redirects are not followed." if 300 <= answer.status < 400 else ""
    return Outcome(answer.status, f"The receiver answered {answer.status}.{redirected}", _retry_after_seconds(answer))


def _connect(receiver: Receiver, addresses: Sequence[str], deadline: float) -> _Wire:
    """A connection to the first of the addresses that answers."""
    for number, address in enumerate(addresses, 1):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            plain = socket.create_connection((address, receiver.port), left / (len(addresses) - number + 1))
        except OSError:
            if number == len(addresses):
                raise
            continue
        if not receiver.secure:
            return _Wire(plain, deadline)
        try:
            plain.settimeout(max(0.01, deadline - time.monotonic()))
            return _Wire(_tls().wrap_socket(plain, server_hostname=receiver.host), deadline)
        except BaseException:
            plain.close()
            raise
    raise OSError("the name has no address")


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Wire(io.RawIOBase):
    """A connection that ends with its deadline, however slowly it is fed, and gives no more than MOST_ANSWER_BYTES."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._taken = 0

    def makefile(self, mode: str) -> IO[bytes]:
        """What HTTPResponse reads from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._taken >= MOST_ANSWER_BYTES:
            raise AnswerTooLong
        self._wait()
        got = self._connection.recv_into(memoryview(buffer)[: MOST_ANSWER_BYTES - self._taken])
        self._taken += got
        return got

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self._wait()
        self._connection.sendall(data)

    def close(self) -> None:
        if not self.closed:
            self._connection.close()
        super().close()

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


def _retry_after_seconds(answer: http.client.HTTPResponse) -> float:
    """What `Retry-After` asks for, as seconds or as a date; 0 where it asks for nothing."""
    text = (answer.getheader("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
