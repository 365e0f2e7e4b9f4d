"""A worker process that starts while the store is out of reach registers when it is back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from service.store import workers
from service.store.database import Store
from worker import health, tasks


@pytest.fixture
def _unregistered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tasks, "_worker", None)
    yield
    tasks.end_process()


@pytest.mark.usefixtures("_unregistered")
def test_a_process_that_could_not_register_tries_again_at_its_next_turn(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    nobody = f"postgresql+psycopg://nobody@127.0.0.1:{port}/nothing"
    monkeypatch.setattr(tasks, "settings", Settings(data_dir=tmp_path, database_url=nobody))
    monkeypatch.setattr(tasks, "exit_with_parent", lambda _: True)
    tasks.start_process()
    tasks.turn()
    assert tasks._worker is None
    monkeypatch.setattr(tasks, "settings", Settings(data_dir=tmp_path, database_url=store_url))
    tasks.turn()
    store = Store(store_url)
    assert workers.heard_of(store, heartbeat_seconds=60) == 1
    store.close()


def test_health_tells_whether_a_worker_of_this_host_is_heard_of(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANKOFA_DATABASE_URL", store_url)
    assert health.main() == 1
    store = Store(store_url)
    workers.register(store, workers.Process(7, 1), "cpu")
    store.close()
    assert health.main() == 0
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("SANKOFA_DATABASE_URL", f"postgresql+psycopg://nobody@127.0.0.1:{port}/nothing")
    assert health.main() == 1
