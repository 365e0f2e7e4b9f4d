"""Who did what: every route that changes something writes it down, and so does every fetch of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service.store import audit as stored
from service.store.errors import StoreBusy
from tests.service.api.conftest import XOR, Caller, Service, model_of

Change = Callable[[Service], tuple[dict[str, str], Any]]


def queued(service: Service) -> tuple[dict[str, str], Any]:
    return {"job_id": service.job()}, None


def trained(service: Service) -> dict[str, str]:
    """A job that has parameters."""
    job_id = service.job(epochs=2)
    service.work()
    return {"job_id": job_id}


def named(service: Service) -> str:
    """The name of one job that is queued."""
    service.job(name="the only one")
    return "the only one"


def paused(service: Service) -> tuple[dict[str, str], Any]:
    job_id = service.job()
    service.api.post(f"/v1/jobs/{job_id}/pause")
    return {"job_id": job_id}, None


def cancelled(service: Service) -> tuple[dict[str, str], Any]:
    ids, _ = queued(service)
    service.api.post(f"/v1/jobs/{ids['job_id']}/cancel")
    return ids, None


def dataset(service: Service) -> tuple[dict[str, str], Any]:
    return {"dataset_id": service.dataset({"columns": {"alone": [1, 2, 3]}})}, None


def trashed(service: Service) -> tuple[dict[str, str], Any]:
    ids, _ = dataset(service)
    service.api.delete(f"/v1/datasets/{ids['dataset_id']}")
    return ids, None


def webhook(service: Service) -> dict[str, str]:
    return {"webhook_id": service.api.post("/v1/webhooks", json={"url": "https://93.184.215.14/"}).json["id"]}


def delivered(service: Service) -> dict[str, str]:
    ids = webhook(service)
    return {**ids, "delivery_id": service.api.post(f"/v1/webhooks/{ids['webhook_id']}/test").json["id"]}


def key(service: Service) -> tuple[dict[str, str], Any]:
    return {"key_id": service.api.post("/v1/keys", json={"name": "k", "scopes": ["read"]}).json["id"]}, {}


def two_versions(service: Service) -> dict[str, str]:
    ids = model(service, "moved", aliased=True)
    service.api.post("/v1/models/moved/versions", json={"job": trained(service)["job_id"]})
    return ids


def model(service: Service, name: str, *, aliased: bool) -> dict[str, str]:
    """A model with a version, for which an alias stands if it is to."""
    ids = model_of(service, trained(service)["job_id"], name)
    if not aliased:
        service.api.delete(f"/v1/models/{name}/aliases/production", headers={"If-Match": "*"})
    return ids


def folds(service: Service, *, cancelled: bool = False) -> dict[str, str]:
    """A cross-validation of which one fold is queued and one cancelled, or both are."""
    body = {**service.spec(), "folds": 2}
    made = service.api.post("/v1/cross_validations", json=body).json
    for fold in made["jobs"] if cancelled else made["jobs"][1:]:
        service.api.post(f"/v1/jobs/{fold['job']}/cancel")
    return {"cross_validation_id": made["id"]}


# How each route that changes something is called so that it does: ids for its path, and its body.
CHANGES: dict[str, tuple[str, Change]] = {
    "create_dataset": ("dataset.create", lambda service: ({}, {"columns": {"new": [1, 2]}})),
    "trash_dataset": ("dataset.trash", dataset),
    "restore_dataset": ("dataset.restore", trashed),
    "purge_dataset": ("dataset.purge", trashed),
    "create_upload": ("upload.create", lambda service: ({}, {"bytes": 5})),
    "delete_upload": (
        "upload.delete",
        lambda service: ({"upload_id": service.api.post("/v1/uploads", json={"bytes": 5}).json["id"]}, None),
    ),
    "create_job": ("job.create", lambda service: ({}, service.spec())),
    "create_predictions": ("job.create", lambda service: (trained(service), {})),
    "create_model_predictions": ("job.create", lambda service: (model(service, "asked", aliased=True), {})),
    "explain_job": ("job.create", lambda service: (trained(service), {"explain": {"type": "loss_line"}, "run": "job"})),
    "explain_model": (
        "job.create",
        lambda service: (model(service, "explained", aliased=True), {"explain": {"type": "loss_line"}, "run": "job"}),
    ),
    "cancel_job": ("job.cancel", queued),
    "stop_job": ("job.stop", queued),
    "pause_job": ("job.pause", queued),
    "resume_job": ("job.resume", paused),
    "change_job": ("job.change", lambda service: ({"job_id": service.job()}, {"name": "another"})),
    "delete_job": ("job.delete", cancelled),
    "act_on_jobs": ("job.cancel", lambda service: ({}, {"action": "cancel", "name": named(service)})),
    "create_cross_validation": ("cross_validation.create", lambda service: ({}, {**service.spec(), "folds": 2})),
    "cancel_cross_validation": ("job.cancel", lambda service: (folds(service), None)),
    "delete_cross_validation": ("cross_validation.delete", lambda service: (folds(service, cancelled=True), None)),
    "create_model": ("model.create", lambda service: ({}, {"name": "new"})),
    "change_model": ("model.change", lambda service: (model(service, "changed", aliased=True), {"tags": {"a": 1}})),
    "delete_model": ("model.delete", lambda service: (model(service, "deleted", aliased=False), None)),
    "create_model_version": ("model.version", lambda service: (model(service, "more", aliased=True), {"job": trained(service)["job_id"]})),
    "delete_model_version": ("model.version.delete", lambda service: (model(service, "less", aliased=False), None)),
    "move_model_alias": ("model.alias", lambda service: (two_versions(service), {"version": 2})),
    "delete_model_alias": ("model.alias", lambda service: (model(service, "unnamed", aliased=True), None)),
    "create_webhook": ("webhook.create", lambda service: ({}, {"url": "https://93.184.215.14/"})),
    "change_webhook": ("webhook.change", lambda service: (webhook(service), {"enabled": False})),
    "delete_webhook": ("webhook.delete", lambda service: (webhook(service), None)),
    "rotate_webhook": ("webhook.rotate", lambda service: (webhook(service), {})),
    "test_webhook": ("webhook.test", lambda service: (webhook(service), None)),
    "redeliver_webhook_delivery": ("webhook.redeliver", lambda service: (delivered(service), None)),
    "create_key": ("key.create", lambda service: ({}, {"name": "k", "scopes": ["read"]})),
    "rotate_key": ("key.rotate", key),
    "revoke_key": ("key.revoke", key),
    "create_tenant": ("tenant.create", lambda service: ({}, {"id": "acme"})),
    "change_tenant": ("tenant.update", lambda service: ({"tenant_id": "default"}, {"quotas": {"queued_jobs": 1000}})),
}

# Routes of a job, or of a model, that make another job.
OF_A_JOB = {"create_predictions", "create_model_predictions", "explain_job", "explain_model"}

# Of each of its folds they write down this, too; or nothing else.
OF_FOLDS = {"create_cross_validation": "job.create", "delete_cross_validation": "job.delete"}

# Routes that need the right to change something and change nothing: they say what would happen, or go on with what is written down.
CHANGING_NOTHING = {"preflight_job", "append_to_upload"}


def changing(service: Service) -> list[tuple[str, str, str]]:
    """Method, path and name of every route that changes something."""
    document: dict[str, Any] = service.app.api_doc  # type: ignore[attr-defined]
    return [
        (method.upper(), path, operation["operationId"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "get" and operation["security"] and operation["security"][0] != {"api_key": ["read"]}
        if operation["operationId"] not in CHANGING_NOTHING
    ]


def entries(service: Service, query: str = "") -> list[dict[str, Any]]:
    response = service.api.get(f"/v1/audit?limit=500{query}")
    assert response.status_code == 200, response.text
    return list(response.json["data"])


def test_every_route_that_changes_something_writes_it_down(stored_service: Service) -> None:
    sender = stored_service.api.get("/v1/usage").json["key"]["id"]
    routes = changing(stored_service)
    assert {name for _, _, name in routes} == set(CHANGES), "say in CHANGES how the route is called, and have the store record it"
    for number, (method, path, name) in enumerate(routes):
        action, prepare = CHANGES[name]
        ids, body = prepare(stored_service)
        before = len(entries(stored_service))
        response = stored_service.api(method, path.format(**ids), json=body, headers={"X-Request-ID": f"walk-{number}", "If-Match": "*"})
        assert response.status_code < 300, response.text
        added = entries(stored_service)[: len(entries(stored_service)) - before]
        if name in OF_FOLDS:
            added = [entry for entry in added if entry["action"] != OF_FOLDS[name]]
        assert [(entry["action"], entry["key"], entry["request_id"]) for entry in added] == [(action, sender, f"walk-{number}")], name
        made = name in OF_A_JOB
        target = None if made else next(iter(ids.values()), None)
        target = response.json["jobs"][0]["job"] if name == "cancel_cross_validation" else target
        target = target or (response.json.get("changed") or [response.json.get("id") or response.json["name"]])[0]
        assert added[0]["target"] == target
        assert added[0]["tenant"] == ("acme" if name == "create_tenant" else "default")


def test_a_refused_change_is_not_written_down(service: Service) -> None:
    service.api.post("/v1/datasets", json={"columns": {}})
    service.api.post("/v1/jobs", json={"dataset": "ds_" + "0" * 26})
    service.api.post("/v1/keys", json={"name": "k", "scopes": []})
    assert entries(service) == []


def test_a_replayed_request_is_written_down_once(service: Service) -> None:
    for _ in range(2):
        service.api.post("/v1/datasets", json=XOR, headers={"Idempotency-Key": "once"})
    assert len(entries(service)) == 1


def test_the_log_holds_no_key(service: Service) -> None:
    made = service.api.post("/v1/keys", json={"name": "k", "scopes": ["read"]}).json
    rotated = service.api.post(f"/v1/keys/{made['id']}/rotate", json={}).json
    told = str(entries(service))
    assert made["id"] in told
    assert made["key"] not in told
    assert rotated["key"] not in told


class TestWeights:
    @pytest.fixture
    def path(self, stored_service: Service) -> str:
        job_id = stored_service.job(epochs=2)
        stored_service.work()
        return f"/v1/jobs/{job_id}/weights"

    def fetched(self, service: Service) -> list[dict[str, Any]]:
        return [entry["data"] for entry in reversed(entries(service, "&action=weights.read"))]

    def test_every_fetch_is_written_down(self, stored_service: Service, path: str) -> None:
        whole = stored_service.api.get(path)
        stored_service.api.get(f"{path}?format=npz")
        stored_service.api.get(path, headers={"Range": "bytes=0-9"})
        told = self.fetched(stored_service)
        assert [(entry["format"], entry["step"]) for entry in told] == [("safetensors", 2), ("npz", 2), ("safetensors", 2)]
        assert (told[0]["bytes"], told[2]["bytes"]) == (len(whole.get_data()), 10)
        assert {entry["target"] for entry in entries(stored_service, "&action=weights.read")} == {path.split("/")[3]}

    def test_what_sent_nothing_is_not(self, stored_service: Service, path: str) -> None:
        tag = stored_service.api.get(path).headers["ETag"]
        assert stored_service.api.get(path, headers={"If-None-Match": tag}).status_code == 304
        assert stored_service.api("HEAD", path).status_code == 200
        assert stored_service.api.get(path, headers={"Range": "bytes=999999-"}).status_code == 416
        assert len(self.fetched(stored_service)) == 1

    def test_what_was_sent_was_sent_although_the_log_cannot_be_written(
        self, stored_service: Service, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*_: object, **__: object) -> None:
            raise StoreBusy("The database is locked.")

        monkeypatch.setattr(stored, "record_read", busy)
        assert stored_service.api.get(path).status_code == 200


def test_entries_are_found_by_filters_and_pages(stored_service: Service) -> None:
    job_id = stored_service.job()
    stored_service.api.post(f"/v1/jobs/{job_id}/cancel")
    stored_service.api.post("/v1/tenants", json={"id": "acme"})
    sender = stored_service.api.get("/v1/usage").json["key"]["id"]
    everything = entries(stored_service)
    assert [entry["action"] for entry in everything] == ["tenant.create", "job.cancel", "job.create", "dataset.create"]
    assert [entry["action"] for entry in entries(stored_service, f"&target={job_id}")] == ["job.cancel", "job.create"]
    assert [entry["action"] for entry in entries(stored_service, "&tenant=acme")] == ["tenant.create"]
    assert len(entries(stored_service, f"&key={sender}&action=dataset.create")) == 1
    assert entries(stored_service, "&key=key_other") == []
    since = everything[1]["at"]
    assert [entry["id"] for entry in entries(stored_service, f"&since={since}")] == [entry["id"] for entry in everything[:2]]
    assert [entry["id"] for entry in entries(stored_service, f"&until={since}")] == [entry["id"] for entry in everything[2:]]
    first = stored_service.api.get("/v1/audit?limit=3").json
    rest = stored_service.api.get(f"/v1/audit?limit=3&cursor={first['next_cursor']}").json
    assert [*first["data"], *rest["data"]] == everything
    assert rest["next_cursor"] is None
    for query in ("since=yesterday", "since=2026-01-01T00:00:00", "action=%00", "cursor=x", "tenant=A"):
        assert stored_service.api.get(f"/v1/audit?{query}").status_code == 422


def test_a_tenant_sees_what_was_done_to_its_things_by_whomever(stored_service: Service) -> None:
    stored_service.dataset()
    stored_service.api.post("/v1/tenants", json={"id": "acme"})
    made = stored_service.api.post("/v1/keys", json={"name": "k", "scopes": ["write", "admin"], "tenant": "acme"}).json
    acme = Caller(stored_service.app, made["key"])
    acme.post("/v1/datasets", json=XOR)
    told = acme.get("/v1/audit").json["data"]
    assert [entry["action"] for entry in told] == ["dataset.create", "key.create", "tenant.create"]
    assert {entry["tenant"] for entry in told} == {"acme"}
    assert told[0]["key"] == made["id"]
