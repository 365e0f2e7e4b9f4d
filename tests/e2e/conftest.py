"""Whole installations in real processes, on the embedded default, on Postgres + Redis and on Postgres + RabbitMQ."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import sankofa

DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.csv.gz"
IMPATIENT = {  # the protocol's times, shortened so that a test need not wait half a minute for a lease to end
    "SANKOFA_LEASE_SECONDS": "3",
    "SANKOFA_HEARTBEAT_SECONDS": "0.5",
    "SANKOFA_REAPER_SECONDS": "0.5",
    "SANKOFA_CHECKPOINT_SECONDS": "0.5",
    "SANKOFA_CHECKPOINT_SHARE": "0.2",
}


class Service:
    """`sankofa serve` in a process of its own, to be watched, killed and started again."""

    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.environment = {**os.environ, **IMPATIENT, **environment}
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[sankofa.Client] = []
        self.log = data_dir.parent / "serve.log"

    def start(self, **environment: str) -> sankofa.Client:
        """Start it, wait until it is ready, and answer a client."""
        command = [sys.executable, "-m", "sankofa", "serve", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**self.environment, **environment}, stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: self.is_ready(), 90, lambda: self.log.read_text()[-4000:])
        self.worker_children()  # the API may be ready before the worker is
        return self.client()

    def client(self) -> sankofa.Client:
        client = sankofa.Client(f"http://127.0.0.1:{self.port}", (self.data_dir / "key").read_text().strip())
        self.clients.append(client)
        return client

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def pids(self, *words: str) -> list[int]:
        """Living processes of this installation whose command line has all of `words`, oldest first."""
        assert self.process is not None
        family = descendants(self.process.pid)
        return [pid for pid in family if all(word in command_line(pid) for word in words)]

    def worker_parent(self) -> int:
        """The Celery parent process."""
        found: int = until(lambda: next((pid for pid in self.pids() if command_line(pid).rstrip("\0").endswith("\0-m\0worker")), None), 20)
        return found

    def worker_children(self) -> list[int]:
        """The processes that train; a killed one is waited for until it is replaced."""
        found: list[int] = until(lambda: descendants(self.worker_parent())[1:], 60)
        return found

    def stop(self, grace_seconds: float = 30) -> int:
        """Ask it to stop and wait; answer its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(grace_seconds)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            family = descendants(self.process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(condition: Callable[[], Any], seconds: float, explain: Callable[[], object] = lambda: "") -> Any:
    """The first true answer of `condition` within `seconds`; fails otherwise."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {explain()}")


def descendants(root: int) -> list[int]:
    """`root` and every living process below it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
    family = [root]
    for pid in family:
        family += sorted(children.get(pid, []))
    return family


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def new_postgres(postgres_server: str) -> Iterator[str]:
    """The URL of a new, empty Postgres database, dropped at the end."""
    name = f"sankofa_e2e_{os.getpid()}_{time.monotonic_ns()}"
    engine = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["embedded", "networked"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """An installation that is not started yet: SQLite and a folder as broker, or Postgres and Redis."""
    environment = {}
    if request.param == "networked":
        environment["SANKOFA_DATABASE_URL"] = request.getfixturevalue("new_postgres")
        environment["SANKOFA_BROKER_URL"] = request.getfixturevalue("redis_url")
    yield from running(tmp_path, environment)


@pytest.fixture
def service_on_rabbitmq(new_postgres: str, rabbitmq_url: str, tmp_path: Path) -> Iterator[Service]:
    """An installation on Postgres and RabbitMQ."""
    yield from running(tmp_path, {"SANKOFA_DATABASE_URL": new_postgres, "SANKOFA_BROKER_URL": rabbitmq_url})


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Service]:
    """An installation on the embedded default."""
    yield from running(tmp_path, {})


@pytest.fixture
def networked(new_postgres: str, tmp_path: Path) -> Iterator[Service]:
    """An installation on Postgres; its broker is the test's to choose."""
    yield from running(tmp_path, {"SANKOFA_DATABASE_URL": new_postgres})


def running(folder: Path, environment: dict[str, str]) -> Iterator[Service]:
    service = Service(folder / "data", environment)
    yield service
    service.close()


@pytest.fixture(scope="session")
def digits() -> bytes:
    """The handwritten digits, as CSV."""
    return gzip.decompress(DIGITS.read_bytes())


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    return until


@pytest.fixture(name="alive")
def alive_fixture() -> Callable[[int], bool]:
    return alive


@pytest.fixture(name="descendants")
def descendants_fixture() -> Callable[[int], list[int]]:
    return descendants


@pytest.fixture(name="free_port")
def free_port_fixture() -> int:
    return free_port()
