"""A file in parts through a connection that breaks and a service that is killed: it arrives, byte for byte, and is not begun anew."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sankofa import Client
from sankofa.parts import Parts, Watcher, send

pytestmark = pytest.mark.e2e

ROWS = 800_000
MEGABYTE = 1 << 20


class Proxy:
    """Carries connections to a port, and breaks each after so many bytes of a request, as long as there are breaks left."""

    def __init__(self, port: int, breaks: list[int], rest_seconds: float = 0.0) -> None:
        """rest_seconds: after every 64 KiB."""
        self._rest_seconds = rest_seconds
        self._target = port
        self._breaks = breaks
        self.carried = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        # A service that is being started again refuses the connection; so does this, then.
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            threading.Thread(target=self._copy, args=(far, near), daemon=True).start()
            left = self._breaks[0] if self._breaks else None
            while data := near.recv(65536):
                if left is not None and len(data) >= left:
                    far.sendall(data[:left])
                    self._breaks.pop(0)
                    far.shutdown(socket.SHUT_RDWR)  # closed alone, it would stay open as long as the other thread reads from it
                    return
                left = None if left is None else left - len(data)
                self.carried += len(data)
                far.sendall(data)
                time.sleep(self._rest_seconds)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of more than 32 MiB."""
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    numbers = random.Random(7)
    with path.open("w") as file:
        file.write("a,b,c,d,e,f\n")
        for _ in range(ROWS):
            file.write(",".join(f"{numbers.random():.6f}" for _ in range(5)) + f",{numbers.randrange(3)}\n")
    assert path.stat().st_size > 33 * MEGABYTE
    return path


@pytest.fixture
def proxies() -> Iterator[list[Proxy]]:
    made: list[Proxy] = []
    yield made
    for proxy in made:
        proxy.close()


def api_pids(service: Any) -> list[int]:
    return [pid for pid in service.pids("service.api")]


class Killer(Watcher):
    """Kills the processes of the API once when so much of the file is sent."""

    def __init__(self, service: Any, at: int) -> None:
        self.service, self.at, self.went_on = service, at, list[int]()

    def sent(self, at: int) -> None:
        if self.at is not None and at >= self.at:
            self.at = None  # type: ignore[assignment]
            for pid in reversed(api_pids(self.service)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def resumed(self, at: int, why: str) -> None:
        self.went_on.append(at)


def test_a_file_arrives_through_breaks_kills_and_a_restart(service: Any, table: Path, proxies: list[Proxy]) -> None:
    """Cut connections, kill -9 of the API in the midst of a part, a stopped and started service: the dataset of the whole file."""
    client = service.start()
    breaks = [5 * MEGABYTE + 1, 3 * MEGABYTE, 100, 9 * MEGABYTE]
    proxies.append(proxy := Proxy(service.port, breaks))
    killer = Killer(service, 20 * MEGABYTE)
    with Client(f"http://127.0.0.1:{proxy.port}", client._connection.api_key, retries=8) as broken:
        send(broken._connection, Parts(table), killer)
    assert breaks == []
    assert len(killer.went_on) >= 4, "three breaks or more in the midst of a part, and a kill"
    assert any(at % (8 * MEGABYTE) for at in killer.went_on), "what had come of a part was kept"
    assert proxy.carried < 2 * table.stat().st_size, "five interruptions cost a part each at the most, and no new beginning"
    service.stop()
    client = service.start()
    (upload,) = client.datasets.uploads()
    assert upload["received_bytes"] == upload["bytes"] == table.stat().st_size
    made = client.datasets.upload(table)  # nothing is sent again: all of it has arrived
    assert made.rows == ROWS
    whole = client.datasets._post(lambda: table.open("rb"), "text/csv", {}, None)
    assert (whole.id, whole.digest) == (made.id, made.digest), "the bytes as a whole are the same content"


def test_an_interrupted_command_goes_on_when_it_is_called_again(embedded: Any, table: Path, until: Any, proxies: list[Proxy]) -> None:
    client = embedded.start()
    proxies.append(slow := Proxy(embedded.port, [], rest_seconds=0.01))
    command = [sys.executable, "-m", "sankofa", "data", "upload", str(table), "--url"]
    environment = {**os.environ, "SANKOFA_API_KEY": client._connection.api_key}
    first = subprocess.Popen([*command, f"http://127.0.0.1:{slow.port}"], env=environment, stderr=subprocess.PIPE, text=True)
    until(lambda: any(upload["received_bytes"] > 4 * MEGABYTE for upload in client.datasets.uploads()), 30)
    first.send_signal(signal.SIGINT)
    assert "interrupted" in first.communicate(timeout=30)[1]
    assert first.returncode == 130
    again = subprocess.run([*command, client.url], env=environment, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "rows: went on at " in again.stderr
    assert f"rows  {ROWS:,} rows, 6 columns" in again.stdout
    as_json = subprocess.run([*command, client.url, "--json"], env=environment, capture_output=True, text=True, timeout=120)
    assert (as_json.returncode, as_json.stderr.count("\n")) == (0, 1)
    assert "this content is there already, as ds_" in as_json.stderr
    assert as_json.stdout.startswith('{"id": "ds_')
