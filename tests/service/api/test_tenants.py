"""Tenants, their quotas and their use: what is refused, and that the refusal says which quota, how much there is, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from service.store import blobs, claims, idempotency, quotas
from service.store.claims import Progress
from tests.service.api.conftest import XOR, Caller, Service


@pytest.fixture
def acme(stored_service: Service) -> Callable[..., Caller]:
    """Adds the tenant acme with these quotas; answers a caller with a key of its."""

    def add(**limits: int | None) -> Caller:
        made = stored_service.api.post("/v1/tenants", json={"id": "acme", "name": "Acme Inc.", "quotas": limits})
        assert made.status_code == 201, made.text
        key = {"name": "first", "scopes": ["read", "write", "admin"], "tenant": "acme"}
        return Caller(stored_service.app, stored_service.api.post("/v1/keys", json=key).json["key"])

    return add


def post_job(service: Service, caller: Caller, **fields: Any) -> TestResponse:
    dataset = caller.post("/v1/datasets", json=XOR, headers={"Idempotency-Key": "xor"}).json["id"]
    return caller.post("/v1/jobs", json=service.spec(dataset=dataset, **fields))


def test_a_tenant_is_added_listed_and_shown(stored_service: Service, acme: Callable[..., Caller]) -> None:
    caller = acme(queued_jobs=5)
    shown = stored_service.api.get("/v1/tenants/acme").json
    assert (shown["id"], shown["name"]) == ("acme", "Acme Inc.")
    assert {name: limit for name, limit in shown["quotas"].items() if limit is not None} == {"queued_jobs": 5}
    assert [tenant["id"] for tenant in stored_service.api.get("/v1/tenants").json["data"]] == ["acme", "default"]
    first = stored_service.api.get("/v1/tenants?limit=1").json
    assert [tenant["id"] for tenant in stored_service.api.get(f"/v1/tenants?cursor={first['next_cursor']}").json["data"]] == ["default"]
    assert caller.get("/v1/tenants/acme").json == shown
    again = stored_service.api.post("/v1/tenants", json={"id": "acme"})
    assert (again.status_code, again.json["code"]) == (409, "already_there")


def test_only_the_operator_adds_and_changes_tenants(stored_service: Service, acme: Callable[..., Caller]) -> None:
    caller = acme(queued_jobs=5)
    for refused in (caller.post("/v1/tenants", json={"id": "more"}), caller.patch("/v1/tenants/acme", json={"quotas": {"queued_jobs": 9}})):
        assert (refused.status_code, refused.json["code"]) == (403, "not_operator")
    assert stored_service.api.get("/v1/tenants/acme").json["quotas"]["queued_jobs"] == 5
    assert stored_service.api.get("/v1/tenants/more").status_code == 404


def test_a_change_leaves_what_it_does_not_name(stored_service: Service, acme: Callable[..., Caller]) -> None:
    acme(queued_jobs=5, running_jobs=2)
    changed = stored_service.api.patch("/v1/tenants/acme", json={"quotas": {"queued_jobs": None, "parameters": 10}})
    assert changed.status_code == 200
    left = {name: limit for name, limit in changed.json["quotas"].items() if limit is not None}
    assert (changed.json["name"], left) == ("Acme Inc.", {"running_jobs": 2, "parameters": 10})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/id"),
        ({"id": "Acme"}, "/id"),
        ({"id": "../x"}, "/id"),
        ({"id": "a", "quotas": {"queued_jobs": -1}}, "/quotas/queued_jobs"),
        ({"id": "a", "quotas": {"queued_jobs": 1.5}}, "/quotas/queued_jobs"),
        ({"id": "a", "quotas": {"requests_per_minute": 0}}, "/quotas/requests_per_minute"),
        ({"id": "a", "quotas": {"jobs": 1}}, "/quotas/jobs"),
    ],
)
def test_what_is_wrong_with_a_tenant_is_named(service: Service, body: dict[str, Any], pointer: str) -> None:
    response = service.api.post("/v1/tenants", json=body)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json["errors"]] == [pointer]


class TestRefusals:
    def test_of_a_job_too_many(self, stored_service: Service, acme: Callable[..., Caller]) -> None:
        caller = acme(queued_jobs=1)
        first = post_job(stored_service, caller).json["id"]
        refused = post_job(stored_service, caller)
        assert refused.status_code == 429
        told = {name: refused.json[name] for name in ("code", "quota", "limit", "used")}
        assert told == {"code": "quota_exceeded", "quota": "queued_jobs", "limit": 1, "used": 1}
        assert refused.json["remedy"] in refused.json["detail"]
        assert int(refused.headers["Retry-After"]) == quotas.QUEUE_SECONDS
        caller.post(f"/v1/jobs/{first}/cancel")
        assert post_job(stored_service, caller).status_code == 202

    def test_of_a_network_too_large(self, stored_service: Service, acme: Callable[..., Caller]) -> None:
        refused = post_job(stored_service, acme(parameters=8))
        assert refused.status_code == 403
        told = {name: refused.json[name] for name in ("code", "quota", "limit", "used")}
        assert told == {"code": "quota_exceeded", "quota": "parameters", "limit": 8, "used": 9}

    def test_of_a_dataset_too_large_and_nothing_is_left_of_it(self, stored_service: Service, acme: Callable[..., Caller]) -> None:
        caller = acme(stored_bytes=100)
        refused = caller.post("/v1/datasets", json={"columns": {"x": list(range(100))}})
        assert refused.status_code == 403
        assert (refused.json["quota"], refused.json["limit"], refused.json["used"]) == ("stored_bytes", 100, 0)
        assert "this would add" in refused.json["detail"]
        with stored_service.store.read() as session:
            assert session.query(blobs.BlobChunk).count() == 0

    def test_of_two_datasets_that_are_too_large_together(
        self, stored_service: Service, acme: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each found room when it began."""
        caller = acme(stored_bytes=0)
        monkeypatch.setattr(quotas, "room_is_left", lambda *_: None)
        assert caller.post("/v1/datasets", json=XOR).status_code == 403
        with stored_service.store.read() as session:
            assert session.query(blobs.BlobChunk).count() == 0

    def test_of_a_job_when_no_byte_is_left(self, stored_service: Service, acme: Callable[..., Caller]) -> None:
        caller = acme()
        size = caller.post("/v1/datasets", json=XOR, headers={"Idempotency-Key": "xor"}).json["bytes"]
        stored_service.api.patch("/v1/tenants/acme", json={"quotas": {"stored_bytes": size}})
        refused = post_job(stored_service, caller)
        assert (refused.status_code, refused.json["quota"], refused.json["used"]) == (403, "stored_bytes", size)
        stored_service.api.patch("/v1/tenants/acme", json={"quotas": {"stored_bytes": size + 1}})
        assert post_job(stored_service, caller).status_code == 202

    def test_when_the_day_is_used_up(self, stored_service: Service, acme: Callable[..., Caller]) -> None:
        caller = acme(worker_seconds_per_day=10)
        waiting = post_job(stored_service, caller).json["id"]
        post_job(stored_service, caller)
        claim = claims.claim(stored_service.store, "worker_1", "cpu", 30)
        assert claim is not None
        claims.release(stored_service.store, claim, Progress(1, 0, {}, 12.3456))
        refused = post_job(stored_service, caller)
        assert (refused.status_code, refused.json["quota"], refused.json["used"]) == (429, "worker_seconds_per_day", 12.3456)
        assert 0 < int(refused.headers["Retry-After"]) <= 86400
        assert refused.json["resets_at"].endswith("T00:00:00.000Z")
        assert caller.get(f"/v1/jobs/{waiting}").json["queue"]["held_by"] == "worker_seconds_per_day"
        use = caller.get("/v1/usage").json["quotas"]
        expected = {"limit": 10, "used": 12.346, "remaining": 0, "resets_at": refused.json["resets_at"]}
        assert use["worker_seconds_per_day"] == expected
        assert use["queued_jobs"] == {"limit": None, "used": 2, "remaining": None, "resets_at": None}
        stored_service.api.patch("/v1/tenants/acme", json={"quotas": {"worker_seconds_per_day": None}})
        assert post_job(stored_service, caller).status_code == 202
        assert caller.get(f"/v1/jobs/{waiting}").json["queue"]["held_by"] is None

    def test_leave_no_bytes_behind(self, stored_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a job begins with is written before its row, which may be refused or there already."""
        job_id = stored_service.job()
        stored_service.work()

        def bytes_there() -> int:
            with stored_service.store.read() as session:
                return session.query(blobs.BlobChunk).count()

        before = bytes_there()
        stored_service.api.patch("/v1/tenants/default", json={"quotas": {"queued_jobs": 0}})
        asked: list[tuple[str, dict[str, Any]]] = [
            ("/v1/jobs", {"parent": {"job": job_id}, "epochs": 3}),
            (f"/v1/jobs/{job_id}/predictions", {}),
            (f"/v1/jobs/{job_id}/explain", {"explain": {"type": "permutation_importance"}, "run": "job"}),
        ]
        for path, body in asked:
            assert stored_service.api.post(path, json=body).status_code == 429, path
        assert bytes_there() == before
        stored_service.api.patch("/v1/tenants/default", json={"quotas": {"queued_jobs": None}})
        for path, body in asked:
            sent: dict[str, Any] = {"json": body, "headers": {"Idempotency-Key": "again"}}
            assert stored_service.api.post(path, **sent).status_code == 202, path
            monkeypatch.setattr(idempotency, "earlier", lambda *_: None)  # as for a twin that came while the first was under way
            there = bytes_there()
            assert stored_service.api.post(path, **sent).headers["Idempotent-Replayed"] == "true"
            assert bytes_there() == there
            monkeypatch.undo()
        assert bytes_there() > before

    def test_leave_no_idempotency_key_behind(self, stored_service: Service, acme: Callable[..., Caller]) -> None:
        caller = acme(queued_jobs=0)
        dataset = caller.post("/v1/datasets", json=XOR).json["id"]
        sent: dict[str, Any] = {"json": stored_service.spec(dataset=dataset), "headers": {"Idempotency-Key": "again"}}
        assert caller.post("/v1/jobs", **sent).status_code == 429
        stored_service.api.patch("/v1/tenants/acme", json={"quotas": {"queued_jobs": 1}})
        assert caller.post("/v1/jobs", **sent).status_code == 202


def test_use_is_told_to_the_tenant_and_to_the_operator(stored_service: Service, acme: Callable[..., Caller]) -> None:
    caller = acme(stored_bytes=1000, running_jobs=3)
    caller.post("/v1/datasets", json=XOR)
    use = caller.get("/v1/usage").json
    assert use["tenant"] == use["key"]["tenant"] == "acme"
    assert use["key"]["scopes"] == ["admin", "read", "write"]
    stored = use["quotas"]["stored_bytes"]
    assert stored["used"] + stored["remaining"] == stored["limit"] == 1000
    assert stored["used"] > 0
    assert use["quotas"]["running_jobs"] == {"limit": 3, "used": 0, "remaining": 3, "resets_at": None}
    assert stored_service.api.get("/v1/usage?tenant=acme").json["quotas"] == use["quotas"]
    reader = stored_service.caller("default", ["read"])
    assert reader.get("/v1/usage").status_code == 200
    assert reader.get("/v1/usage?tenant=acme").status_code == 404
    assert stored_service.api.get("/v1/usage?tenant=nobody").status_code == 404
