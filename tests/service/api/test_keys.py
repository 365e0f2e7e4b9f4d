"""API keys through the API: made, shown once, rotated without a gap, revoked for ever."""

from __future__ import annotations

from typing import Any

import pytest

from service.api import authentication
from service.store import keys as stored
from tests.service.api.conftest import KEY, Caller, Service


def make(service: Service, **fields: Any) -> dict[str, Any]:
    response = service.api.post("/v1/keys", json={"name": "build", "scopes": ["read"], **fields})
    assert response.status_code == 201, response.text
    return dict(response.json)


def test_a_key_that_was_made_opens_and_is_described(stored_service: Service) -> None:
    made = make(stored_service, scopes=["write", "read"], expires_after_seconds=3600, requests_per_minute=60)
    caller = Caller(stored_service.app, made["key"])
    assert caller.get("/v1/jobs").status_code == 200
    assert caller.post("/v1/datasets", json={"columns": {"x": [1]}}).status_code == 201
    assert caller.get("/v1/keys").status_code == 403
    described = stored_service.api.get(f"/v1/keys/{made['id']}").json
    assert "key" not in described
    assert (described["name"], described["tenant"], described["scopes"]) == ("build", "default", ["read", "write"])
    assert (described["state"], described["hint"], described["replaces"]) == ("active", made["key"][:7], None)
    assert described["requests_per_minute"] == 60
    assert described["last_used_at"] is not None
    assert described["created_at"] < described["expires_at"]


def test_the_key_is_shown_once(stored_service: Service) -> None:
    sent: dict[str, Any] = {"json": {"name": "build", "scopes": ["read"]}, "headers": {"Idempotency-Key": "once"}}
    first, again = (stored_service.api.post("/v1/keys", **sent) for _ in range(2))
    assert first.headers["Cache-Control"] == "no-store"
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == {**first.json, "key": None}
    listed = stored_service.api.get("/v1/keys")
    assert first.json["key"] not in listed.text
    assert len([key for key in listed.json["data"] if key["name"] == "build"]) == 1


def test_a_rotated_key_gives_way_without_a_gap(stored_service: Service) -> None:
    old = make(stored_service)
    new = stored_service.api.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 60}).json
    assert new["replaces"] == old["id"]
    for key in (old["key"], new["key"]):
        assert Caller(stored_service.app, key).get("/v1/jobs").status_code == 200
    stored_service.api.post(f"/v1/keys/{new['id']}/rotate", json={"overlap_seconds": 0})
    gone = Caller(stored_service.app, new["key"]).get("/v1/jobs")
    assert (gone.status_code, gone.json["code"]) == (401, "expired_key")
    assert stored_service.api.post(f"/v1/keys/{new['id']}/rotate", json={}).json["code"] == "expired_key"


def test_a_revoked_key_opens_nothing_at_once(stored_service: Service) -> None:
    made = make(stored_service)
    caller = Caller(stored_service.app, made["key"])
    assert caller.get("/v1/jobs").status_code == 200
    assert stored_service.api.delete(f"/v1/keys/{made['id']}").status_code == 204
    gone = caller.get("/v1/jobs")
    assert (gone.status_code, gone.json["code"]) == (401, "revoked_key")
    assert 'error="invalid_token"' in gone.headers["WWW-Authenticate"]
    assert stored_service.api.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert stored_service.api.get(f"/v1/keys/{made['id']}").json["state"] == "revoked"
    assert stored_service.api.post(f"/v1/keys/{made['id']}/rotate", json={}).status_code == 409


def test_nobody_locks_himself_out(service: Service) -> None:
    own = service.api.get("/v1/usage").json["key"]["id"]
    refused = service.api.delete(f"/v1/keys/{own}")
    assert (refused.status_code, refused.json["code"]) == (409, "own_key")
    assert service.api.get("/v1/keys").status_code == 200


def test_keys_are_listed_by_pages_tenants_and_states(service: Service) -> None:
    service.caller("acme", ["admin"])
    made = [make(service, name=f"k{number}")["id"] for number in range(3)]
    service.api.delete(f"/v1/keys/{made[0]}")
    first = service.api.get("/v1/keys?limit=2").json
    rest = service.api.get(f"/v1/keys?limit=10&cursor={first['next_cursor']}").json
    ids = [key["id"] for key in (*first["data"], *rest["data"])]
    assert len(set(ids)) == 5
    assert rest["next_cursor"] is None
    assert [key["id"] for key in service.api.get("/v1/keys?state=revoked").json["data"]] == made[:1]
    assert [key["tenant"] for key in service.api.get("/v1/keys?tenant=acme").json["data"]] == ["acme"]


def test_an_admin_of_a_tenant_makes_keys_for_it_alone(service: Service) -> None:
    acme = service.caller("acme", ["admin"])
    made = acme.post("/v1/keys", json={"name": "mine", "scopes": ["read", "write", "admin"]}).json
    assert made["tenant"] == "acme"
    assert Caller(service.app, made["key"]).get("/v1/usage").json["tenant"] == "acme"
    theirs = service.api.post("/v1/keys", json={"name": "theirs", "scopes": ["read"], "tenant": "acme"}).json
    assert theirs["tenant"] == "acme"
    assert acme.get(f"/v1/keys/{theirs['id']}").status_code == 200
    assert service.api.post("/v1/keys", json={"name": "k", "scopes": ["read"], "tenant": "nobody"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["read"]}, "/name"),
        ({"name": "k", "scopes": []}, "/scopes"),
        ({"name": "k", "scopes": ["root"]}, "/scopes/0"),
        ({"name": "k", "scopes": ["read"], "expires_after_seconds": 0}, "/expires_after_seconds"),
        ({"name": "k", "scopes": ["read"], "requests_per_minute": 0}, "/requests_per_minute"),
        ({"name": "k", "scopes": ["read"], "tenant": "A B"}, "/tenant"),
        ({"name": "k", "scopes": ["read"], "secret": "mine"}, "/secret"),
    ],
)
def test_what_is_wrong_with_a_key_is_named(service: Service, body: dict[str, Any], pointer: str) -> None:
    response = service.api.post("/v1/keys", json=body)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json["errors"]] == [pointer]


class TestLastUse:
    def test_is_written_once_for_many_requests(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[str] = []
        monkeypatch.setattr(stored, "mark_used", lambda store, key_id: written.append(key_id))
        made = make(service)
        caller = Caller(service.app, made["key"])
        for _ in range(5):
            assert caller.get("/v1/jobs").status_code == 200
        assert written.count(made["id"]) == 1

    def test_delays_and_fails_no_answer(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        def busy(store: object, key_id: str) -> None:
            raise stored.KeyEnded(key_id, "revoked")  # any error of the store

        monkeypatch.setattr(stored, "mark_used", busy)
        assert service.api.get("/v1/jobs").status_code == 200

    def test_is_not_written_for_a_key_that_was_used_just_now(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        service.api.get("/v1/jobs")
        written: list[str] = []
        monkeypatch.setattr(stored, "mark_used", lambda store, key_id: written.append(key_id))
        monkeypatch.setattr(authentication, "REMEMBERED_SECONDS", 0.0)
        service.context.identities.forget()
        for _ in range(3):
            Caller(service.app, KEY).get("/v1/jobs")
        assert written == []
