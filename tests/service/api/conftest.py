"""An API in this process, callers that hold every answer against the OpenAPI document, and a worker to train what is posted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from pydantic import BaseModel
from werkzeug.test import TestResponse

from service.api import openapi
from service.api.app import create_app
from service.api.context import NAME, Context
from service.settings import Settings
from service.store import keys
from service.store.database import Store
from service.store.ids import new_id
from service.store.models import ApiKey, Tenant
from worker.lease import Heartbeat
from worker.turn import Worker, take_turn

KEY = "sk_test_of_the_default_tenant"
XOR = {"name": "xor", "columns": {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}}
SETTINGS: dict[str, Any] = {"max_json_bytes": 1 << 20, "max_upload_bytes": 1 << 20, "max_rows": 10_000, "max_parameters": 100_000}


class Caller:
    """Sends requests with a key; every answer must be one that the OpenAPI document tells of."""

    def __init__(self, app: Flask, key: str | None = KEY) -> None:
        self.app = app
        self.key = key

    def __call__(self, method: str, path: str, *, headers: dict[str, str] | None = None, **sent: Any) -> TestResponse:
        sent_headers = {**({"Authorization": f"Bearer {self.key}"} if self.key else {}), **(headers or {})}
        response = self.app.test_client().open(path, method=method, headers=sent_headers, buffered=True, **sent)
        check_documented(self.app, method, path, response)
        return response

    def get(self, path: str, **sent: Any) -> TestResponse:
        return self("GET", path, **sent)

    def put(self, path: str, **sent: Any) -> TestResponse:
        return self("PUT", path, **sent)

    def patch(self, path: str, **sent: Any) -> TestResponse:
        return self("PATCH", path, **sent)

    def delete(self, path: str, **sent: Any) -> TestResponse:
        return self("DELETE", path, **sent)

    def post(self, path: str, **sent: Any) -> TestResponse:
        return self("POST", path, **sent)


class Service:
    """An installation: its API, its store, and a worker that works when it is told to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.make_data_dir()
        self.app = create_app(settings)
        self.app.testing = False  # faults become answers, as they do for a client
        context: Context = self.app.extensions[NAME]
        self.context = context
        self.store = context.store
        keys.register(self.store, KEY, "test")
        self.api = Caller(self.app)

    def caller(self, tenant_id: str, scopes: list[str]) -> Caller:
        """A caller of another tenant, or with fewer scopes."""
        key = f"sk_{tenant_id}_{'_'.join(scopes)}"
        with self.store.write() as session:
            if session.get(Tenant, tenant_id) is None:
                session.add(Tenant(id=tenant_id, name=tenant_id, created_at=0.0))
                session.flush()
            row = {"id": new_id("key"), "tenant_id": tenant_id, "digest": keys._digest(key), "name": key, "scopes": scopes}
            session.add(ApiKey(**row, created_at=0.0))
        return Caller(self.app, key)

    def dataset(self, document: dict[str, Any] | None = None) -> str:
        """Upload a dataset, four points in the plane unless told otherwise; answer its id."""
        response = self.api.post("/v1/datasets", json=document or XOR)
        assert response.status_code in (200, 201), response.text  # 200: it was there
        return str(response.json["id"])

    def job(self, **fields: Any) -> str:
        """Queue a small job; answer its id."""
        response = self.api.post("/v1/jobs", json=self.spec(**fields))
        assert response.status_code == 202, response.text
        return str(response.json["id"])

    def spec(self, **fields: Any) -> dict[str, Any]:
        """The body of a small job."""
        layers = [{"type": "dense", "units": 2, "activation": "tanh"}, {"type": "dense", "units": 1}]
        spec = {"target": "y", "network": {"layers": layers}, "loss": {"type": "binary_cross_entropy"}, "epochs": 20, "seed": 7}
        return {"dataset": fields.pop("dataset", None) or self.dataset(), **spec, **fields}

    def work(self, stopping: Callable[[], bool] = lambda: False, **settings: Any) -> int:
        """Let a worker take a turn, with these settings of its own; answer how many slices it ran."""
        chosen = self.settings.model_copy(update=settings)
        store = Store(self.settings.database)
        heartbeat = Heartbeat(store, "worker_test", chosen)
        try:
            return take_turn(Worker(chosen, store, "worker_test", "here", heartbeat, stopping, lambda: None))
        finally:
            store.close()

    def work_a_little(self) -> None:
        """Let a worker begin the next job and give it back with a checkpoint, not done."""
        asked = iter([False])
        assert self.work(lambda: next(asked, True), call_seconds=1e-4) == 1


def model_of(service: Service, job: str, name: str = "digits") -> dict[str, str]:
    """Make a model whose first version is what the job has learned, and for which an alias stands; the ids of its routes."""
    for path, body in (("/v1/models", {"name": name}), (f"/v1/models/{name}/versions", {"job": job})):
        response = service.api.post(path, json=body)
        assert response.status_code == 201, response.text
    response = service.api.put(f"/v1/models/{name}/aliases/production", json={"version": 1}, headers={"If-None-Match": "*"})
    assert response.status_code == 201, response.text
    return {"model": name, "version": "1", "alias": "production"}


def check_documented(app: Flask, method: str, path: str, response: TestResponse) -> None:
    """Fail unless the OpenAPI document tells of an answer like this one."""
    document: dict[str, Any] = app.api_doc  # type: ignore[attr-defined]
    bare = path.partition("?")[0]
    templates = [template for template in document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare)]
    templates.sort(key=lambda template: template.count("{"))  # /v1/jobs/preflight is no job
    operation = document["paths"][templates[0]].get({"HEAD": "get"}.get(method, method.lower())) if templates else None
    if operation is None:
        assert response.status_code in (200, 304, 404, 405)
        return
    described = operation["responses"].get(str(response.status_code))
    assert described is not None, f"{method} {bare}: {response.status_code} is not documented: {response.text[:500]}"
    if method == "HEAD" or not described.get("content"):
        return
    assert response.mimetype in described["content"], f"{method} {bare}: {response.mimetype} is not documented"
    if response.mimetype.endswith("json") and "$ref" in described["content"][response.mimetype]["schema"]:
        name = described["content"][response.mimetype]["schema"]["$ref"].rpartition("/")[2]
        model: type[BaseModel] = openapi._models[name]
        model.model_validate_json(response.get_data())


@pytest.fixture
def service(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Service]:
    """An installation on SQLite."""
    shutil.copyfile(migrated_sqlite, tmp_path / "sankofa.db")
    made = Service(Settings(data_dir=tmp_path, **SETTINGS))
    yield made
    made.context.streams.close()
    made.store.close()


@pytest.fixture
def stored_service(store_url: str, tmp_path: Path) -> Iterator[Service]:
    """An installation on SQLite, and one on Postgres."""
    made = Service(Settings(data_dir=tmp_path, database_url=store_url, **SETTINGS))
    yield made
    made.context.streams.close()
    made.store.close()


@pytest.fixture
def api(service: Service) -> Caller:
    """Sends requests to an installation on SQLite."""
    return service.api
