"""Processes may be started in any order: they wait for the database server, and for its schema."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.store import migrate
from service.store.database import Store
from service.store.errors import StoreBusy


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOOK_SECONDS", 0.02)


def waiting(store: Store, ended: threading.Event) -> tuple[threading.Thread, list[bool]]:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(migrate.wait_until_current(store, ended)))
    thread.start()
    return thread, answers


def test_who_waits_goes_on_when_the_schema_is_there(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    thread, answers = waiting(store, threading.Event())
    thread.join(0.3)
    assert thread.is_alive()
    migrate.upgrade(store)
    thread.join(10)
    assert answers == [True]
    store.close()


def test_waiting_ends_when_the_process_is_asked_to_stop(tmp_path: Path) -> None:
    ended = threading.Event()
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    thread, answers = waiting(store, ended)
    ended.set()
    thread.join(10)
    assert answers == [False]
    store.close()


def test_a_migrated_database_is_not_waited_for(store: Store) -> None:
    ended = threading.Event()
    ended.set()  # with any obstacle the answer would be False
    assert migrate.wait_until_current(store, ended)


def test_migrate_waits_for_a_server_that_still_starts(migrated_postgres: str, tmp_path: Path) -> None:
    """The server's port opens only once migrate has said that it waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    real = sa.make_url(migrated_postgres)
    url = real.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    environment = {**os.environ, "SANKOFA_DATABASE_URL": url, "SANKOFA_DATA_DIR": str(tmp_path), "SANKOFA_LOG_FORMAT": "json"}
    process = subprocess.Popen([sys.executable, "-m", "service.store.migrate"], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "waiting for the database" in process.stderr.readline()
    with forwarded(port, (real.host or "127.0.0.1", real.port or 5432)):
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"database": "nosuchdb"}, 'FATAL: database "nosuchdb" does not exist; create that database, or name another'),
        ({"username": "nosuchrole"}, 'FATAL: role "nosuchrole" does not exist; create that role, or name another user'),
    ],
)
def test_what_a_server_will_never_have_is_told_at_once_in_one_line(
    changed: dict[str, str], told: str, migrated_postgres: str, tmp_path: Path
) -> None:
    url = sa.make_url(migrated_postgres).set(**changed).render_as_string(hide_password=False)
    environment = {**os.environ, "SANKOFA_DATABASE_URL": url, "SANKOFA_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "service.store.migrate"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    (line,) = answer.stderr.splitlines()
    assert answer.returncode == migrate.EXIT_UNUSABLE
    assert line.startswith("SANKOFA_DATABASE_URL: ")
    assert line.endswith(told)


def test_a_file_that_is_no_database_is_a_refusal_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "sankofa.db"
    path.write_text("anything but a database " * 100)
    store = Store(f"sqlite:///{path}")
    with pytest.raises(StoreBusy, match="cannot be read"), store.read() as session:
        session.execute(sa.text("SELECT 1"))
    with pytest.raises(StoreBusy, match="cannot be read"), store.write() as session:
        session.execute(sa.text("SELECT 1"))
    thread, answers = waiting(store, ended := threading.Event())
    thread.join(0.3)
    ended.set()
    thread.join(10)
    assert answers == [False]  # it waited, and did not die of it
    store.close()


def test_a_postgres_database_without_an_encoding_can_be_migrated(postgres_server: str) -> None:
    """As initdb makes it where no locale is set, in a small container for instance."""
    server = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    name = f"sankofa_test_{secrets.token_hex(6)}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
        store = Store(sa.make_url(postgres_server).set(database=name).render_as_string(hide_password=False))
        try:
            migrate.upgrade(store)
            assert migrate.is_current(store)
        finally:
            store.close()
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


class forwarded:
    """Within it, connections to `port` of this machine reach `address`."""

    def __init__(self, port: int, address: tuple[str, int]) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self._address = address

    def __enter__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(self._address)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with source:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.close()
