"""Large files go in parts: a connection that breaks, or a program that ends, costs no more than what was on its way.

The service is told the file's sha256 first; a file that is on its way already goes on where it stands, whoever began it.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from sankofa.connection import Connection
from sankofa.errors import Busy, Conflict, InvalidInput, Unreachable

PARTS_FROM_BYTES = 32 << 20  # a smaller file goes in one request
BLOCK_BYTES = 256 << 10  # what is shown of a part that is on its way
PATIENCE_SECONDS = 120.0  # how long nothing may arrive
PART = "application/offset+octet-stream"


class Parts:
    """A file to be sent: its path, or its bytes."""

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        self.bytes = len(source) if isinstance(source, bytes) else source.stat().st_size

    def sha256(self) -> str:
        """Of all of it."""
        with self._open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def part(self, start: int, end: int, on_sent: Callable[[int], object]) -> Callable[[], AbstractContextManager[Iterator[bytes]]]:
        """A function that opens the bytes [start, end), block by block. on_sent: told where in the file the sending is."""

        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            with self._open() as file:
                yield blocks(file)

        def blocks(file: BinaryIO) -> Iterator[bytes]:
            file.seek(start)
            at = start
            while at < end:
                block = file.read(min(BLOCK_BYTES, end - at))
                if not block:
                    raise InvalidInput(f"{self._source!s}: ended at {at:,} of {self.bytes:,} bytes: was it changed while it was sent?")
                yield block
                at += len(block)
                on_sent(at)

        return opened

    def _open(self) -> io.BytesIO | io.BufferedReader:
        return io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")


class Watcher:
    """Sees a file go; this one does nothing about it."""

    def sent(self, at: int) -> None:
        """The bytes before `at` have left."""

    def resumed(self, at: int, why: str) -> None:
        """The sending goes on at `at`, because of `why`."""

    def reading(self) -> None:
        """All has arrived; the service reads it."""


def send(connection: Connection, parts: Parts, watcher: Watcher) -> str:
    """Send all of a file; the id of the upload, which is complete then.

    A broken connection is taken up again where it broke, with growing delays. Raises Unreachable when nothing more arrives for two minutes.
    """
    body = {"bytes": parts.bytes, "sha256": parts.sha256()}
    upload = connection.document(connection.request("POST", "/v1/uploads", body=body))
    path, at = f"/v1/uploads/{upload['id']}", int(upload["received_bytes"])
    if at:
        watcher.resumed(at, "an earlier upload of this file had come so far")
    watcher.sent(at)
    failures, arrived_at = 0, time.monotonic()
    while at < parts.bytes:
        end = min(parts.bytes, at + int(upload["part_bytes"]))
        try:
            _send_part(connection, path, parts, at, end, watcher)
            at, failures, arrived_at = end, 0, time.monotonic()
            continue
        except (Unreachable, Busy, Conflict) as error:
            if isinstance(error, Conflict) and error.problem.code != "wrong_offset":
                raise
            broke, why = error, str(error).partition("\n")[0]
        if isinstance(broke, Conflict):
            received = int(broke.problem.document["received_bytes"])
        else:
            connection.rest(failures)
            received = _received(connection, path, at)
        if received != at:
            failures, arrived_at = 0, time.monotonic()
        elif time.monotonic() - arrived_at > PATIENCE_SECONDS:
            raise Unreachable(
                f"{broke}\n  {at:,} of {parts.bytes:,} bytes have arrived; upload the file again, and it goes on there"
            ) from broke
        at, failures = received, failures + 1
        watcher.resumed(at, why)
    return str(upload["id"])


def _send_part(connection: Connection, path: str, parts: Parts, start: int, end: int, watcher: Watcher) -> None:
    headers = {"Content-Type": PART, "Upload-Offset": str(start), "Content-Length": str(end - start)}
    # Not tried again as it is: some of it may have arrived.
    connection.request("PATCH", path, content=parts.part(start, end, watcher.sent), headers=headers, retries=0)


def _received(connection: Connection, path: str, known: int) -> int:
    """How many bytes have arrived; `known` where the service still cannot be asked."""
    try:
        return int(connection.get(path)["received_bytes"])
    except (Unreachable, Busy):
        return known
