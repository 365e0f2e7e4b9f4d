"""Models: versions that never change, aliases that are moved by compare-and-set, and what uses them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.store import blobs, checkpoints
from service.store.models import BlobChunk
from tests.service.api.conftest import Caller, Service, model_of

ROWS = {"inputs": [[0, 1], [1, 1]]}


def trained(service: Service, **fields: Any) -> str:
    """A job that has succeeded."""
    job = service.job(epochs=5, **fields)
    service.work()
    return job


def move(service: Service, version: int, condition: dict[str, str], alias: str = "production") -> Any:
    return service.api.put(f"/v1/models/digits/aliases/{alias}", json={"version": version}, headers=condition)


def stored_bytes(service: Service) -> int:
    return int(service.api.get("/v1/usage").json["quotas"]["stored_bytes"]["used"])


def test_a_model_goes_from_a_job_to_an_answer(stored_service: Service) -> None:
    api, job = stored_service.api, trained(stored_service)
    made = api.post("/v1/models", json={"name": "digits", "description": "Reads digits.", "tags": {"team": "post"}})
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/models/digits")
    assert (made.json["newest_version"], made.json["aliases"]) == (None, {})
    version = api.post("/v1/models/digits/versions", json={"job": job, "description": "The first."})
    assert (version.status_code, version.headers["Location"]) == (201, "/v1/models/digits/versions/1")
    (best,) = [each for each in api.get(f"/v1/jobs/{job}/snapshots").json["data"] if each["best"]]
    told = {name: best[name] for name in ("step", "epoch", "digest", "bytes", "loss", "metrics", "tables")}
    assert told == {name: version.json[name] for name in told}
    assert move(stored_service, 1, {"If-None-Match": "*"}).status_code == 201
    shown = api.get("/v1/models/digits").json
    assert (shown["newest_version"], shown["aliases"], shown["tags"]) == (1, {"production": 1}, {"team": "post"})
    assert api.get("/v1/models/digits/versions/1").json == {**version.json, "aliases": ["production"]}
    assert [each["name"] for each in api.get("/v1/models").json["data"]] == ["digits"]
    for query in ("", "?alias=production", "?version=1"):
        assert api.get(f"/v1/models/digits/weights{query}").get_data() == api.get(f"/v1/jobs/{job}/weights").get_data()
        answer = api.post(f"/v1/models/digits/predict{query}", json=ROWS)
        assert answer.json == api.post(f"/v1/jobs/{job}/predict", json=ROWS).json
        assert answer.headers["Sankofa-Version"] == "1"


def test_weights_of_a_version_are_a_file_as_those_of_a_job_and_every_reading_is_written_down(stored_service: Service) -> None:
    api, job = stored_service.api, trained(stored_service)
    model_of(stored_service, job)
    for name in ("safetensors", "npz", "json", "onnx", "python"):
        ours, theirs = (api.get(f"/v1/{of}/weights?format={name}") for of in ("models/digits", f"jobs/{job}"))
        assert (ours.get_data(), ours.headers["ETag"]) == (theirs.get_data(), theirs.headers["ETag"])
    assert "digits-1.npz" in api.get("/v1/models/digits/weights?format=npz").headers["Content-Disposition"]
    part = api.get("/v1/models/digits/weights", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.get_data())) == (206, 10)
    read = [each for each in api.get("/v1/audit?action=weights.read").json["data"] if each["target"] == "digits"]
    assert (len(read), read[0]["data"]["version"], read[0]["data"]["bytes"]) == (7, 1, 10)


def test_numbers_are_given_once(stored_service: Service) -> None:
    api, job = stored_service.api, trained(stored_service)
    model_of(stored_service, job)
    for number in (2, 3):
        assert api.post("/v1/models/digits/versions", json={"job": job, "step": "last"}).json["version"] == number
    assert api.delete("/v1/models/digits/versions/3").json == {"model": "digits", "version": 3, "freed_bytes": 0}
    assert api.get("/v1/models/digits/versions/3").status_code == 404
    assert api.post("/v1/models/digits/versions", json={"job": job}).json["version"] == 4
    first = api.get("/v1/models/digits/versions?limit=2").json
    rest = api.get(f"/v1/models/digits/versions?limit=2&cursor={first['next_cursor']}").json
    assert [each["version"] for each in first["data"] + rest["data"]] == [4, 2, 1]
    assert rest["next_cursor"] is None


def test_the_same_request_makes_one_version(stored_service: Service) -> None:
    api, job = stored_service.api, trained(stored_service)
    model_of(stored_service, job)
    sent: dict[str, Any] = {"json": {"job": job}, "headers": {"Idempotency-Key": "once"}}
    answers = [api.post("/v1/models/digits/versions", **sent) for _ in range(2)]
    assert [each.json["version"] for each in answers] == [2, 2]
    assert api.get("/v1/models/digits").json["newest_version"] == 2


class TestAliases:
    @pytest.fixture
    def model(self, stored_service: Service) -> Service:
        job = trained(stored_service)
        model_of(stored_service, job)
        stored_service.api.post("/v1/models/digits/versions", json={"job": job, "step": "last"})
        return stored_service

    def test_are_moved_by_who_knows_what_they_stand_for(self, model: Service) -> None:
        tag = model.api.get("/v1/models/digits/aliases/production").headers["ETag"]
        assert tag == '"1"'
        moved = move(model, 2, {"If-Match": tag})
        assert (moved.status_code, moved.json["version"], moved.headers["ETag"]) == (200, 2, '"2"')
        late = move(model, 1, {"If-Match": tag})
        assert (late.status_code, late.json["code"], late.json["revision"]) == (412, "precondition_failed", 2)
        assert move(model, 1, {}).status_code == 428
        assert move(model, 1, {"If-None-Match": "*"}).status_code == 412
        both = move(model, 1, {"If-None-Match": "*", "If-Match": "*"}, alias="staging")
        assert (both.status_code, "never hold both" in both.json["detail"]) == (412, True)
        assert move(model, 7, {"If-Match": "*"}).status_code == 404
        assert move(model, 1, {"If-Match": "*"}, alias="staging").status_code == 404
        assert model.api.post("/v1/models/digits/predict?alias=production", json=ROWS).headers["Sankofa-Version"] == "2"

    def test_of_many_movers_each_revision_has_one(self, model: Service) -> None:
        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(lambda _: move(model, 2, {"If-Match": '"1"'}).status_code, range(12)))
        assert (statuses.count(200), statuses.count(412)) == (1, 11)

    def test_have_a_history_that_a_deletion_ends_and_does_not_forget(self, model: Service) -> None:
        address = "/v1/models/digits/aliases/production"
        move(model, 2, {"If-Match": "*"})
        move(model, 2, {"If-Match": "*"})  # nothing moves
        assert model.api.delete(address, headers={"If-Match": '"1"'}).status_code == 412
        assert model.api.delete(address, headers={"If-Match": '"2"'}).json == {"model": "digits", "alias": "production"}
        assert model.api.get(address).status_code == 404
        assert model.api.post("/v1/models/digits/predict?alias=production", json=ROWS).status_code == 404
        again = move(model, 1, {"If-None-Match": "*"})
        assert (again.status_code, again.json["revision"]) == (201, 4)
        history = model.api.get(f"{address}/history").json["data"]
        assert [(each["revision"], each["version"]) for each in history] == [(4, 1), (3, None), (2, 2), (1, 1)]
        assert {each["key"] for each in history} == {model.api.get("/v1/usage").json["key"]["id"]}
        page = model.api.get(f"{address}/history?limit=3").json
        assert len(model.api.get(f"{address}/history?cursor={page['next_cursor']}").json["data"]) == 1

    def test_keep_their_version_from_being_deleted(self, model: Service) -> None:
        refused = model.api.delete("/v1/models/digits/versions/1")
        assert (refused.status_code, refused.json["code"], refused.json["aliases"]) == (409, "version_in_use", ["production"])
        assert model.api.delete("/v1/models/digits").status_code == 409
        model.api.delete("/v1/models/digits/aliases/production", headers={"If-Match": "*"})
        assert model.api.delete("/v1/models/digits/versions/1").status_code == 200
        assert model.api.delete("/v1/models/digits").json == {"name": "digits", "freed_bytes": 0}
        assert model.api.get("/v1/models/digits").status_code == 404
        assert model.api.post("/v1/models", json={"name": "digits"}).json["newest_version"] is None


def test_a_version_of_a_job_that_left_no_snapshot_has_its_own_bytes(stored_service: Service) -> None:
    api, job = stored_service.api, stored_service.job(epochs=1_000_000)
    stored_service.work_a_little()
    api.post(f"/v1/jobs/{job}/pause")
    api.post("/v1/models", json={"name": "digits"})
    before = stored_bytes(stored_service)
    version = api.post("/v1/models/digits/versions", json={"job": job}).json
    assert stored_bytes(stored_service) == before + version["bytes"]
    content = api.get("/v1/models/digits/weights").get_data()
    api.post(f"/v1/jobs/{job}/cancel")
    checkpoints.remove_old(stored_service.store, -1.0)
    assert api.get(f"/v1/jobs/{job}/weights").status_code == 409
    assert api.get("/v1/models/digits/weights").get_data() == content
    with stored_service.store.write() as session:  # nobody names it but the version
        session.query(BlobChunk).update({"created_at": 0.0})
    blobs.remove_orphans(stored_service.store)
    assert api.get("/v1/models/digits/weights").get_data() == content
    assert api.delete("/v1/models/digits").json["freed_bytes"] == version["bytes"]
    with stored_service.store.read() as session:
        assert session.query(BlobChunk).filter_by(created_at=0.0).count() == 1  # the dataset's


def test_a_job_that_a_version_came_from_is_not_deleted(stored_service: Service) -> None:
    job = trained(stored_service)
    model_of(stored_service, job)
    refused = stored_service.api.delete(f"/v1/jobs/{job}")
    assert (refused.status_code, refused.json["code"], refused.json["versions"]) == (409, "job_in_use", ["digits@1"])
    stored_service.api.delete("/v1/models/digits/aliases/production", headers={"If-Match": "*"})
    stored_service.api.delete("/v1/models/digits/versions/1")
    assert stored_service.api.delete(f"/v1/jobs/{job}").status_code == 200
    assert stored_service.api.post("/v1/models/digits/versions", json={"job": job}).status_code == 404


def test_a_version_that_is_a_snapshot_counts_once(stored_service: Service) -> None:
    job = trained(stored_service)
    before = stored_bytes(stored_service)
    model_of(stored_service, job)
    assert stored_bytes(stored_service) == before


def test_a_version_that_is_too_large_is_refused_and_leaves_nothing(stored_service: Service) -> None:
    stored_service.api.post("/v1/tenants", json={"id": "acme"})
    key = stored_service.api.post("/v1/keys", json={"name": "k", "scopes": ["read", "write"], "tenant": "acme"}).json["key"]
    acme = Caller(stored_service.app, key)
    dataset = acme.post("/v1/datasets", json={"columns": {"x": [0, 1, 2], "y": [0, 1, 1]}}).json["id"]
    job = acme.post("/v1/jobs", json=stored_service.spec(dataset=dataset, epochs=1_000_000)).json["id"]
    stored_service.work_a_little()
    acme.post(f"/v1/jobs/{job}/pause")
    acme.post("/v1/models", json={"name": "digits"})
    stored_service.api.patch("/v1/tenants/acme", json={"quotas": {"stored_bytes": 1}})
    refused = acme.post("/v1/models/digits/versions", json={"job": job})
    assert (refused.status_code, refused.json["quota"]) == (403, "stored_bytes")
    assert acme.get("/v1/models/digits").json["newest_version"] is None


def test_a_change_needs_the_revision_that_was_read(service: Service) -> None:
    service.api.post("/v1/models", json={"name": "digits", "tags": {"a": 1}})
    tag = service.api.get("/v1/models/digits").headers["ETag"]
    changed = service.api.patch("/v1/models/digits", json={"description": "New."}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json["description"], changed.json["tags"], changed.json["revision"]) == (200, "New.", {"a": 1}, 1)
    assert service.api.patch("/v1/models/digits", json={"tags": {}}, headers={"If-Match": tag}).status_code == 412
    assert service.api.patch("/v1/models/digits", json={"tags": {}}).status_code == 428
    again = service.api.post("/v1/models", json={"name": "digits"})
    assert (again.status_code, again.json["code"]) == (409, "already_there")


@pytest.mark.parametrize("name", ["", "Digits", "a b", "../x", "-a", "x" * 64, "a@b", "job_1", 7])
def test_a_name_that_cannot_be_an_address_is_refused(service: Service, name: Any) -> None:
    refused = service.api.post("/v1/models", json={"name": name})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/name")


@pytest.mark.parametrize(
    "path", ["/v1/models/No", "/v1/models/digits/versions/0", "/v1/models/digits/versions/x", "/v1/models/digits/weights"]
)
def test_what_cannot_be_there_is_not_found(service: Service, path: str) -> None:
    service.api.post("/v1/models", json={"name": "digits"})
    assert service.api.get(path).status_code == 404


def test_an_alias_and_a_version_at_once_are_refused(service: Service) -> None:
    model_of(service, trained(service))
    refused = service.api.get("/v1/models/digits/weights?alias=production&version=1")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "two_versions")


def test_a_job_without_parameters_makes_no_version(service: Service) -> None:
    service.api.post("/v1/models", json={"name": "digits"})
    refused = service.api.post("/v1/models/digits/versions", json={"job": service.job()})
    assert (refused.status_code, refused.json["code"]) == (409, "no_snapshot")
    for step in ("worst", -1, True, 1.5):
        assert service.api.post("/v1/models/digits/versions", json={"job": service.job(), "step": step}).status_code == 422


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("PUT", "/aliases/production"), ("DELETE", "/aliases/production")])
def test_what_a_change_must_say_is_told_before_anything_is_looked_for(service: Service, method: str, path: str) -> None:
    body = {"PATCH": {"tags": {}}, "PUT": {"version": 1}, "DELETE": None}[method]
    assert service.api(method, f"/v1/models/nothing{path}", json=body).status_code == 428
    assert service.api(method, f"/v1/models/nothing{path}", json=body, headers={"If-Match": "*"}).status_code == 404
