"""The server as a process: it starts, says what is in its way, and goes when it is told to or when nobody is left to tell it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from service.settings import Settings
from service.store import keys
from service.store.database import Store
from tests.service.api.conftest import KEY, XOR

pytestmark = pytest.mark.e2e

START_SECONDS = 30.0
STOP_SECONDS = 2.0
COMMAND = [sys.executable, "-m", "service.api"]


class Server:
    """A server that was started, and how to speak to it."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://127.0.0.1:{settings.port}"
        self.port = settings.port
        self.environment = {**os.environ, **settings.to_environment()}
        self.process = subprocess.Popen(COMMAND, env=self.environment, stderr=subprocess.PIPE, text=True)
        self.http = httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False)
        wait_until(self.answers, START_SECONDS)

    def answers(self) -> bool:
        """Whether somebody listens."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def job(self) -> str:
        """Queue a job that nobody will train; answer its address."""
        dataset = self.http.post("/v1/datasets", json=XOR).json()["id"]
        layers = [{"type": "dense", "units": 1}]
        response = self.http.post("/v1/jobs", json={"dataset": dataset, "target": "y", "network": {"layers": layers}})
        return str(response.headers["Location"])

    def end(self) -> None:
        """Kill it if it still runs."""
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def wait_until(happens: object, seconds: float) -> None:
    """Wait for `happens()` to be true, at most `seconds`."""
    ends_at = time.monotonic() + seconds
    while not happens():  # type: ignore[operator]
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def settings(migrated_sqlite: Path, tmp_path: Path) -> Settings:
    shutil.copyfile(migrated_sqlite, tmp_path / "sankofa.db")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    made = Settings(data_dir=tmp_path, port=port)
    made.make_data_dir()
    store = Store(made.database)
    keys.register(store, KEY, "test")
    store.close()
    return made


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    started = Server(settings)
    yield started
    started.end()


def test_a_server_stops_at_once_though_streams_and_polls_are_live(server: Server) -> None:
    job = server.job()
    ended: list[tuple[str, float]] = []

    def follow(name: str, **headers: str) -> None:
        server.http.get(job if name == "poll" else f"{job}/events", headers={key.title(): value for key, value in headers.items()})
        ended.append((name, time.monotonic()))

    threads = [
        threading.Thread(target=follow, args=("stream",), kwargs={"accept": "text/event-stream"}),
        threading.Thread(target=follow, args=("poll",), kwargs={"prefer": "wait=30"}),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert ended == []
    told_at = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(STOP_SECONDS) == 0
    for thread in threads:
        thread.join(STOP_SECONDS)
    assert sorted(name for name, _ in ended) == ["poll", "stream"], "they were answered, not cut off"
    assert all(at - told_at < STOP_SECONDS for _, at in ended)


def test_streams_that_ended_give_their_places_back(server: Server) -> None:
    job = server.job()
    server.http.post(f"{job}/cancel")
    for _ in range(3 * Settings().api_streams):
        response = server.http.get(f"{job}/events", headers={"Accept": "text/event-stream"})
        assert response.status_code == 200
        assert '"cancelled"' in response.text


def test_an_upload_whose_sender_goes_away_leaves_nothing(server: Server) -> None:
    head = f"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as sender:
        sender.sendall(head.encode() + b"a,b\n1,2\n3,4\n")
        time.sleep(0.3)
    time.sleep(0.3)
    assert server.http.get("/v1/datasets").json()["data"] == []


def test_a_port_that_is_taken_is_said(server: Server) -> None:
    second = subprocess.run(COMMAND, env=server.environment, stderr=subprocess.PIPE, text=True, timeout=START_SECONDS)
    assert second.returncode == 1
    assert "cannot listen" in second.stderr
    assert str(server.port) in second.stderr
    assert server.http.get("/readyz").status_code == 200


def test_settings_that_make_no_sense_are_said(tmp_path: Path) -> None:
    environment = {**os.environ, "SANKOFA_DATA_DIR": str(tmp_path), "SANKOFA_PORTT": "1"}
    refused = subprocess.run(COMMAND, env=environment, stderr=subprocess.PIPE, text=True, timeout=START_SECONDS)
    assert (refused.returncode, "SANKOFA_PORT" in refused.stderr, "Traceback" in refused.stderr) == (2, True, False)


def test_no_process_outlives_the_one_that_was_killed(server: Server) -> None:
    assert server.http.get("/readyz").status_code == 200
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not server.answers(), 5)


def test_a_server_goes_with_the_one_who_started_it(settings: Settings) -> None:
    source = (
        "import os, subprocess, sys, time\n"
        "environment = {**os.environ, 'SANKOFA_PARENT_PID': str(os.getpid())}\n"
        f"print(subprocess.Popen({COMMAND!r}, env=environment).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, **settings.to_environment()}
    supervisor = subprocess.Popen([sys.executable, "-c", source], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", settings.port)) == 0

    try:
        wait_until(answers, START_SECONDS)
    finally:
        supervisor.kill()
        supervisor.communicate()
    wait_until(lambda: not answers(), 5)


def test_more_than_a_hundred_headers_are_refused_by_the_server_itself(server: Server) -> None:
    sent = {f"X-{number}": "a" for number in range(90)}  # and those of every request
    assert server.http.get("/v1/jobs", headers=sent).status_code == 200
    response = server.http.get("/v1/jobs", headers=sent | {f"Y-{number}": "a" for number in range(20)})
    assert (response.status_code, response.content) == (431, b"")


@pytest.mark.parametrize("sent", [b"ZZ\r\nabc\r\n0\r\n\r\n", b'5\r\n{"a"\r\n'])
def test_a_body_of_broken_chunks_is_told_so(server: Server, sent: bytes) -> None:
    head = f"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"It came in chunks, the last of which may be missing or malformed." in answer
