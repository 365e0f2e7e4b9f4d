"""Who may do what: every route needs a key but those that say otherwise, and shows nobody what is another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.api import authentication
from service.store.keys import Identity
from service.store.models import ApiKey
from tests.service.api.conftest import KEY, Caller, Service, model_of

PUBLIC = {"/healthz", "/readyz"}
ADMINISTRATION = ("/v1/keys", "/v1/tenants", "/v1/audit")
ANSWERING = {"predict_with_job", "predict_with_model", "evaluate_network", "minimize_expression"}  # POSTs that keep nothing
NOWHERE = {
    "job_id": "job_" + "0" * 26,
    "dataset_id": "ds_" + "0" * 26,
    "upload_id": "up_" + "0" * 26,
    "cross_validation_id": "cv_" + "0" * 26,
    "key_id": "key_" + "0" * 26,
    "tenant_id": "nobody",
}
NOWHERE |= {"webhook_id": "wh_" + "0" * 26, "delivery_id": "msg_" + "0" * 26}
NOWHERE |= {"model": "nothing", "version": "7", "alias": "staging"}
BODIES: dict[str, Any] = {
    "rotate_key": {},
    "rotate_webhook": {},
    "change_webhook": {"enabled": False},
    "change_tenant": {},
    "change_job": {},
    "create_dataset": {"columns": {"x": [1, 2], "y": [0, 1]}},
    "create_job": None,
    "create_predictions": {},
    "create_model_predictions": {},
    "explain_job": {"explain": {"type": "loss_line"}},
    "explain_model": {"explain": {"type": "loss_line"}},
    "predict_with_job": {"inputs": [[0, 1]]},
    "predict_with_model": {"inputs": [[0, 1]]},
    "change_model": {},
    "move_model_alias": {"version": 1},
    "evaluate_network": {"network": {"layers": [{"type": "dense", "units": 1, "weight": [[1]]}]}, "inputs": [[1]]},
}


def operations(service: Service, ids: dict[str, str] = NOWHERE) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of every route there is, with these ids; one that needs an id of another kind fails here."""
    document: dict[str, Any] = service.app.api_doc  # type: ignore[attr-defined]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.format(**ids), operation


def test_every_route_needs_a_key(service: Service) -> None:
    for method, path, operation in operations(service):
        answers = {Caller(service.app, key)(method, path, json={}).status_code for key in (None, "sk_wrong", "sk_wrong\xe9")}
        expected = {200} if path in PUBLIC else {401}
        assert answers == expected, path
        assert (operation["security"] == []) == (path in PUBLIC)


def test_a_refusal_says_how_to_come_in(service: Service) -> None:
    nobody = Caller(service.app, None).get("/v1/jobs")
    assert (nobody.json["code"], nobody.headers["WWW-Authenticate"]) == ("missing_key", 'Bearer realm="sankofa"')
    wrong = Caller(service.app, "wrong").get("/v1/jobs")
    assert wrong.json["code"] == "unknown_key"
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    basic = Caller(service.app, None).get("/v1/jobs", headers={"Authorization": "Basic YTpi"})
    assert basic.json["code"] == "missing_key"


@pytest.mark.parametrize("scopes", [["read"], ["write"], ["admin"], []])
def test_every_route_asks_for_its_scope(service: Service, scopes: list[str]) -> None:
    caller = service.caller("default", scopes)
    for method, path, operation in operations(service):
        if path in PUBLIC:
            continue
        (needed,) = operation["security"][0].values()
        response = caller(method, path, json={})
        assert (response.status_code == 403) == (needed[0] not in scopes), path
        if response.status_code == 403:
            assert response.json["code"] == "missing_scope"
            assert f'scope="{needed[0]}"' in response.headers["WWW-Authenticate"]
        if path.startswith(ADMINISTRATION):
            assert needed == ["admin"]
        elif method == "GET" or operation["operationId"] in ANSWERING:
            assert needed == ["read"]
        else:
            assert needed == ["write"]


def test_what_is_another_tenants_is_not_there(service: Service) -> None:
    dataset = service.dataset()
    job = service.job(dataset=dataset, epochs=3)
    service.work()
    key = service.api.post("/v1/keys", json={"name": "mine", "scopes": ["read"]}).json["id"]
    webhook = service.api.post("/v1/webhooks", json={"url": "https://93.184.215.14/"}).json["id"]
    delivery = service.api.post(f"/v1/webhooks/{webhook}/test").json["id"]
    model = model_of(service, job)
    other = service.caller("other", ["read", "write", "admin"])
    ids = {"job_id": job, "dataset_id": dataset, "key_id": key, "tenant_id": "default", "webhook_id": webhook, "delivery_id": delivery}
    ids["upload_id"] = service.api.post("/v1/uploads", json={"bytes": 5}).json["id"]
    ids["cross_validation_id"] = service.api.post("/v1/cross_validations", json={**service.spec(dataset=dataset), "folds": 2}).json["id"]
    ids |= model
    BODIES["create_model_version"] = {"job": job}
    for (method, path, operation), (_, nowhere_path, _) in zip(operations(service, ids), operations(service), strict=True):
        if path == nowhere_path:
            continue
        body = BODIES.get(operation["operationId"])
        theirs = other(method, path, json=body, headers={"If-Match": "*"})
        assert theirs.status_code == 404, path
        nowhere = other(method, nowhere_path, json=body, headers={"If-Match": "*"})
        same = {name: theirs.json[name] for name in ("status", "code", "title")}
        assert same == {name: nowhere.json[name] for name in same}
    assert other.post("/v1/jobs", json=service.spec(dataset=dataset)).status_code == 404
    assert other.get("/v1/jobs").json["data"] == other.get("/v1/datasets").json["data"] == []
    assert other.get(f"/v1/jobs?dataset={dataset}").json["data"] == other.get("/v1/models").json["data"] == []
    assert {key["tenant"] for key in other.get("/v1/keys").json["data"]} == {"other"}
    assert [tenant["id"] for tenant in other.get("/v1/tenants").json["data"]] == ["other"]
    assert other.get("/v1/audit").json["data"] == []
    assert other.get("/v1/usage").json["quotas"]["stored_bytes"]["used"] == 0
    assert other.get("/v1/retention").json["data"] == other.get("/v1/webhooks").json["data"] == other.get("/v1/uploads").json["data"] == []
    for path in ("/v1/keys", "/v1/audit", "/v1/usage"):
        assert other.get(f"{path}?tenant=default").status_code == 404
    assert other.post("/v1/keys", json={"name": "k", "scopes": ["read"], "tenant": "default"}).status_code == 404
    assert service.api.get(f"/v1/keys/{key}").json["state"] == "active"
    assert other.post("/v1/models", json={"name": model["model"]}).status_code == 201  # a name of its own
    assert other.post(f"/v1/models/{model['model']}/versions", json={"job": job}).status_code == 404


def test_what_is_another_tenants_is_not_there_where_a_body_or_a_query_names_it_either(service: Service) -> None:
    """Of another tenant's things nothing is told, and of its own, which it asks them of, all is."""
    dataset, job = service.dataset(), service.job(epochs=3)
    upload = service.api.post("/v1/uploads", json={"bytes": 5}).json["id"]
    service.work()
    model = model_of(service, job)["model"]
    other = service.caller("other", ["read", "write"])
    own_dataset = other.post("/v1/datasets", json={"columns": {"x": [[0, 0], [1, 1]], "y": [0, 1]}}).json["id"]
    own = other.post("/v1/jobs", json=service.spec(dataset=own_dataset, epochs=3)).json["id"]
    service.work()
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/v1/jobs/compare?job={own}&job={job}", {}),
        ("POST", "/v1/datasets", {"upload": upload}),
        ("POST", f"/v1/jobs/{own}/predict", {"dataset": dataset}),
        ("POST", f"/v1/jobs/{own}/predictions", {"dataset": dataset}),
        ("POST", f"/v1/jobs/{own}/explain", {"explain": {"type": "permutation_importance"}, "dataset": dataset}),
    ]
    for path in ("/v1/jobs", "/v1/jobs/preflight"):
        asked.append(("POST", path, service.spec(dataset=dataset)))
        asked += [("POST", path, {"parent": parent, "dataset": own_dataset}) for parent in ({"job": job}, {"model": model})]
        asked.append(("POST", path, {"parent": {"job": own}, "dataset": dataset}))
    for method, path, body in asked:
        answer = other(method, path, json=body or None)
        assert answer.status_code == 404, (path, body, answer.text)


def test_a_view_that_says_nothing_about_keys_cannot_be_served(service: Service) -> None:
    service.app._got_first_request = False
    service.app.add_url_rule("/open", "open", lambda: "hello")
    with pytest.raises(AttributeError):
        authentication.install(service.app, service.store, service.context.identities)


def test_a_key_is_asked_for_once_and_not_remembered_for_long(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def identify(store: object, key: str) -> Identity | None:
        asked.append(key)
        return Identity("default", "key_1", frozenset({"read"})) if key == "good" else None

    seconds = 100.0
    monkeypatch.setattr("service.api.authentication.keys.identify", identify)
    monkeypatch.setattr("service.api.authentication.time.monotonic", lambda: seconds)
    identities = authentication.Identities(service.store)
    for key in ("good", "good", "bad", "bad"):
        identities.identify(key)
    assert asked == ["good", "bad", "bad"]
    seconds += authentication.REMEMBERED_SECONDS
    identities.identify("good")
    assert asked == ["good", "bad", "bad", "good"]


def test_a_key_that_was_removed_stops_opening(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED_SECONDS", 0.0)
    caller = service.caller("default", ["read"])
    assert caller.get("/v1/jobs").status_code == 200
    with service.store.write() as session:
        session.delete(session.query(ApiKey).filter_by(name=caller.key).one())
    assert caller.get("/v1/jobs").status_code == 401
    assert Caller(service.app, KEY).get("/v1/jobs").status_code == 200
