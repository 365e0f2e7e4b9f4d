"""Health and readiness say what is so, to anybody."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from service.api import health
from service.settings import Settings
from tests.service.api.conftest import Caller, Service


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any broker yet."""
    monkeypatch.setattr(health, "broker", health.Broker())


def readiness(service: Service) -> tuple[int, dict[str, str]]:
    response = Caller(service.app, None).get("/readyz")
    return response.status_code, response.json


def test_a_service_with_its_database_is_ready(stored_service: Service) -> None:
    assert readiness(stored_service) == (200, {"status": "ready", "database": "ready", "broker": "up"})
    assert Caller(stored_service.app, None).get("/healthz").json == {"status": "ok"}


def test_a_broker_that_is_down_is_said_and_does_no_harm(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        settings = Settings(data_dir=service.settings.data_dir, broker_url=f"redis://127.0.0.1:{port}/0")
        assert health.Broker().state(settings) == "up"
    assert health.Broker().state(settings) == "down"
    monkeypatch.setattr(health.broker, "state", lambda _: "down")
    assert readiness(service) == (200, {"status": "ready", "database": "ready", "broker": "down"})


def test_a_database_without_a_schema_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.service.api.conftest.keys.register", lambda *_: None)
    service = Service(Settings(data_dir=tmp_path))
    assert int(Caller(service.app, None).get("/readyz").headers["Retry-After"]) > 0
    assert readiness(service) == (503, {"status": "not ready", "database": "schema missing", "broker": "up"})
    service.store.close()


def test_a_database_of_another_version_is_not_ready(stored_service: Service) -> None:
    import sqlalchemy as sa

    with stored_service.store.write() as session:
        newest = session.scalar(sa.text("SELECT version_num FROM alembic_version"))
        session.execute(sa.text("UPDATE alembic_version SET version_num = 'older'"))
    try:
        assert readiness(stored_service)[1]["database"] == "schema outdated"
    finally:
        with stored_service.store.write() as session:
            session.execute(sa.text("UPDATE alembic_version SET version_num = :newest"), {"newest": newest})


def test_a_database_out_of_reach_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setattr("tests.service.api.conftest.keys.register", lambda *_: None)
    service = Service(Settings(data_dir=tmp_path, database_url=f"postgresql+psycopg://nobody@127.0.0.1:{port}/nothing"))
    assert readiness(service) == (503, {"status": "not ready", "database": "unreachable", "broker": "up"})
    refused = service.api.get("/v1/jobs")
    assert (refused.status_code, refused.json["code"]) == (503, "store_busy")
    service.store.close()
