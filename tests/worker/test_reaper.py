"""The reaper's round is never held up by a broker, and its clean-up gives the disk back."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import sqlalchemy as sa

from service.queue import Waker, make_app
from service.settings import Settings
from service.store import blobs
from service.store.database import Store
from worker import reaper


def test_a_broker_that_accepts_and_never_answers_does_not_hold_up_a_round(store: Store, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reaper.reaping, "may_wake", lambda *arguments: True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = Settings(data_dir=tmp_path, broker_url=f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        waker = Waker(make_app(settings), settings.wake_expiry_seconds)
        started = time.monotonic()
        reaper.reap_round(store, waker, settings)
        assert time.monotonic() - started < 2


def test_a_clean_up_gives_unused_pages_back(store: Store, tmp_path: Path) -> None:
    if not store.is_sqlite:
        reaper.clean(store, Settings(data_dir=tmp_path))  # Postgres sees to it itself
        return
    blobs.remove(store, [blobs.write(store, [b"x" * 3_000_000])])
    reaper.clean(store, Settings(data_dir=tmp_path))
    with store.read() as session:
        assert session.scalar(sa.text("PRAGMA freelist_count")) == 0
