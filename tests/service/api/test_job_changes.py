"""Changes of jobs that are there: with a precondition, by filter, and found again by what was changed."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.service.api.conftest import Caller, Service


def changed(service: Service, job: str, match: str | None, **values: Any) -> Any:
    return service.api.patch(f"/v1/jobs/{job}", json=values, headers={} if match is None else {"If-Match": match})


def test_name_tags_and_priority_change_and_nothing_else(stored_service: Service) -> None:
    job = stored_service.job(name="old", tags={"lesson": 1})
    before = stored_service.api.get(f"/v1/jobs/{job}")
    after = changed(stored_service, job, before.headers["ETag"], tags={"lesson": 2}, priority=7)
    assert after.status_code == 200
    assert after.json == {**before.json, "tags": {"lesson": 2}, "priority": 7, "revision": 1}
    assert after.headers["ETag"] == stored_service.api.get(f"/v1/jobs/{job}").headers["ETag"]
    assert changed(stored_service, job, "*", name=None).json["name"] is None
    events = stored_service.api.get(f"/v1/jobs/{job}/events").json["data"]
    assert [(event["seq"], event["type"]) for event in events] == [(1, "state"), (2, "changed"), (3, "changed")]
    assert events[1]["data"] == {"tags": {"lesson": 2}, "priority": 7}


def test_a_change_needs_to_know_what_it_changes(service: Service) -> None:
    job = service.job()
    assert (changed(service, job, None, priority=1).status_code, changed(service, job, '"0"', priority=1).status_code) == (428, 200)
    stale = changed(service, job, '"0"', priority=2)
    assert (stale.status_code, stale.json["code"], stale.json["revision"]) == (412, "precondition_failed", 1)
    assert service.api.get(f"/v1/jobs/{job}").json["priority"] == 1


def test_the_revision_of_a_job_that_trains_stays(service: Service) -> None:
    job = service.job(epochs=100_000)
    seen = service.api.get(f"/v1/jobs/{job}")
    service.work_a_little()
    assert changed(service, job, seen.headers["ETag"], priority=1).status_code == 412
    assert changed(service, job, f'"{seen.json["revision"]}"', priority=1).status_code == 200


@pytest.mark.parametrize("values", [{"priority": 101}, {"tags": {"": 1}}, {"epochs": 3}, {"name": "\x00"}, {"priority": "1"}])
def test_a_change_that_makes_no_sense_is_refused(service: Service, values: dict[str, Any]) -> None:
    assert changed(service, service.job(), "*", **values).status_code == 422


def test_a_deadline_is_told_changed_and_taken_away(stored_service: Service) -> None:
    job = stored_service.job(deadline="2100-01-31T12:00:00+01:00")
    assert stored_service.api.get(f"/v1/jobs/{job}").json["deadline"] == "2100-01-31T11:00:00.000Z"
    assert changed(stored_service, job, "*", deadline="2101-01-31T12:00:00Z").json["deadline"] == "2101-01-31T12:00:00.000Z"
    assert changed(stored_service, job, "*", priority=1).json["deadline"] == "2101-01-31T12:00:00.000Z"
    assert changed(stored_service, job, "*", deadline=None).json["deadline"] is None
    events = stored_service.api.get(f"/v1/jobs/{job}/events").json["data"]
    told = [event["data"]["deadline"] for event in events if event["type"] == "changed" and "deadline" in event["data"]]
    assert told == ["2101-01-31T12:00:00.000Z", None]


@pytest.mark.parametrize(
    ("deadline", "code"),
    [
        ("2020-01-31T12:00:00Z", "in_the_past"),
        ("tomorrow", "wrong_time"),
        (4102444800, "wrong_time"),
        ("9999-12-31T23:59:59-14:00", "too_far"),
    ],
)
def test_a_deadline_that_is_over_or_none_is_refused(service: Service, deadline: Any, code: str) -> None:
    body = service.spec(deadline=deadline)
    for refused in (service.api.post("/v1/jobs", json=body), changed(service, service.job(), "*", deadline=deadline)):
        assert refused.status_code == 422
        assert [(each["pointer"], each["code"]) for each in refused.json["errors"]] == [("/deadline", code)]


def test_only_whose_job_it_is_may_change_it(service: Service) -> None:
    job = service.job()
    other = service.caller("other", ["read", "write"])
    assert other.patch(f"/v1/jobs/{job}", json={"priority": 1}, headers={"If-Match": "*"}).status_code == 404
    reader = service.caller("default", ["read"])
    assert reader.patch(f"/v1/jobs/{job}", json={"priority": 1}, headers={"If-Match": "*"}).status_code == 403
    assert other.post("/v1/jobs/actions", json={"action": "cancel", "state": ["queued"]}).json == {"changed": [], "more": False}


def listed(api: Caller, query: str) -> list[str]:
    response = api.get(f"/v1/jobs?{query}")
    assert response.status_code == 200, response.text
    return [job["name"] for job in response.json["data"]]


TAGGED: dict[str, dict[str, Any]] = {
    "a": {"lesson": 1, "kept": True},
    "b": {"lesson": "1", "kept": False, "none": None},
    "c": {"lesson": 2.5, 'quo"te.d': "x=y%"},
    "d": {},
}


def test_jobs_are_found_by_tags_name_and_time(stored_service: Service) -> None:
    dataset = stored_service.dataset()
    for name, tags in TAGGED.items():
        stored_service.job(name=name, tags=tags, dataset=dataset)
    api = stored_service.api
    assert listed(api, "tag=lesson") == ["c", "b", "a"]
    assert listed(api, "tag=lesson=1") == ["b", "a"]
    assert listed(api, "tag=lesson=2.5") == ["c"]
    assert listed(api, "tag=kept=true") == ["a"]
    assert listed(api, "tag=kept=1") == []
    assert listed(api, "tag=none=null") == ["b"]
    assert listed(api, "tag=quo%22te.d=x%3Dy%25") == ["c"]
    assert listed(api, "tag=lesson&tag=kept=false") == ["b"]
    assert listed(api, "name=d&dataset=" + dataset) == ["d"]
    made = {job["name"]: job["created_at"] for job in api.get("/v1/jobs").json["data"]}
    assert listed(api, f"created_before={made['a']}") == []
    assert listed(api, "created_after=2020-01-01T00:00:00%2B02:00") == ["d", "c", "b", "a"]
    assert api.get("/v1/jobs?created_after=yesterday").status_code == 422


@pytest.mark.parametrize("number", [1e21, -1e21, 1e-7, -0.0, 0.1 + 0.2, 1.7976931348623157e308, 5e-324, 2.0])
def test_a_tag_that_is_a_number_is_found_however_it_is_written(stored_service: Service, number: float) -> None:
    dataset = stored_service.dataset()
    for name, value in (("a", number), ("b", True), ("c", "other"), ("d", 7)):
        stored_service.job(name=name, tags={"rate": value}, dataset=dataset)
    api = stored_service.api
    for written in (repr(number), f"{number:.17e}"):
        assert listed(api, f"tag=rate={quote(written)}") == ["a"]
    asked = api.post("/v1/jobs/actions", json={"action": "cancel", "tags": {"rate": number}}).json
    assert len(asked["changed"]) == 1
    nested = {"action": "cancel", "tags": {"rate": "[" * 200}}
    assert api.post("/v1/jobs/actions", json=nested).json == {"changed": [], "more": False}


def test_many_jobs_are_asked_at_once(stored_service: Service) -> None:
    dataset = stored_service.dataset()
    jobs = {name: stored_service.job(name=name, tags=tags, dataset=dataset) for name, tags in TAGGED.items()}
    api = stored_service.api
    ask = {"action": "cancel", "tags": {"lesson": 1}}
    assert api.post("/v1/jobs/actions", json=ask).json == {"changed": [jobs["a"], jobs["b"]], "more": False}
    assert api.post("/v1/jobs/actions", json=ask).json["changed"] == []
    assert api.post("/v1/jobs/actions", json={"action": "pause", "dataset": dataset}).json["changed"] == [jobs["c"], jobs["d"]]
    assert api.post("/v1/jobs/actions", json={"action": "resume", "state": ["paused"], "name": "d"}).json["changed"] == [jobs["d"]]
    states = {job["name"]: job["state"] for job in api.get("/v1/jobs").json["data"]}
    assert states == {"a": "cancelled", "b": "cancelled", "c": "paused", "d": "queued"}


CONDITIONS: list[tuple[str, dict[str, Any]]] = [
    ("state=queued", {"state": ["queued"]}),
    ("kind=train", {"kind": ["train"]}),
    ("name=d", {"name": "d"}),
    ("tag=lesson=1", {"tags": {"lesson": 1}}),
    ("tag=lesson", {"tagged": ["lesson"]}),
    ("tag=none&tag=kept=false", {"tagged": ["none"], "tags": {"kept": False}}),
    ("created_after=2020-01-01T00:00:00Z", {"created_after": "2020-01-01T00:00:00Z"}),
    ("created_before=2020-01-01T00:00:00Z", {"created_before": "2020-01-01T00:00:00Z"}),
]


def test_the_conditions_of_the_list_are_those_of_asking_many(stored_service: Service) -> None:
    dataset = stored_service.dataset()
    for name, tags in TAGGED.items():
        stored_service.job(name=name, tags=tags, dataset=dataset)
    api = stored_service.api
    names = {job["id"]: job["name"] for job in api.get("/v1/jobs").json["data"]}
    for query, body in [*CONDITIONS, (f"dataset={dataset}", {"dataset": dataset})]:
        found = listed(api, query)
        changed = api.post("/v1/jobs/actions", json={"action": "pause", **body}).json["changed"]
        assert [names[job] for job in changed] == found[::-1], query
        assert api.post("/v1/jobs/actions", json={"action": "resume", "state": ["paused"]}).json["changed"] == changed
    document: dict[str, Any] = stored_service.app.api_doc  # type: ignore[attr-defined]
    listing = {each["name"] for each in document["paths"]["/v1/jobs"]["get"]["parameters"]} - {"cursor", "limit"}
    conditions = set(document["components"]["schemas"]["ActionsBody"]["properties"]) - {"action"}
    assert conditions - {"tags", "tagged"} == listing - {"tag"}, "a condition that one has, the other has, too"
    assert api.post("/v1/jobs/actions", json={"action": "pause", "created_after": "yesterday"}).status_code == 422


def test_a_filter_that_says_nothing_is_refused(service: Service) -> None:
    job = service.job()
    response = service.api.post("/v1/jobs/actions", json={"action": "cancel"})
    assert (response.status_code, response.json["errors"][0]["code"]) == (422, "no_filter")
    assert service.api.get(f"/v1/jobs/{job}").json["state"] == "queued"


def test_more_than_can_be_asked_at_once_is_said(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.job_changes.MOST_AT_ONCE", 2)
    dataset = service.dataset()
    for _ in range(3):
        service.job(dataset=dataset)
    ask = {"action": "cancel", "dataset": dataset}
    answers = [service.api.post("/v1/jobs/actions", json=ask).json for _ in range(2)]
    assert [(len(each["changed"]), each["more"]) for each in answers] == [(2, True), (1, False)]


def test_a_job_that_has_ended_is_deleted_with_all_it_left(stored_service: Service) -> None:
    job = stored_service.job()
    refused = stored_service.api.delete(f"/v1/jobs/{job}")
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_action")
    assert "cancel" in refused.json["allowed_actions"]
    stored_service.work()
    size = sum(snapshot["bytes"] for snapshot in stored_service.api.get(f"/v1/jobs/{job}/snapshots").json["data"])
    child = stored_service.api.post("/v1/jobs", json={"parent": {"job": job}, "epochs": 1}).json["id"]
    refused = stored_service.api.delete(f"/v1/jobs/{job}")
    assert (refused.status_code, refused.json["code"], refused.json["jobs"]) == (409, "job_in_use", [child])
    stored_service.work()
    assert stored_service.api.delete(f"/v1/jobs/{child}").status_code == 200
    answer = stored_service.api.delete(f"/v1/jobs/{job}")
    assert answer.json["id"] == job
    assert answer.json["freed_bytes"] >= size > 0
    assert stored_service.api.get(f"/v1/jobs/{job}").status_code == 404
    assert stored_service.api.delete(f"/v1/jobs/{job}").status_code == 404
    assert stored_service.api.get("/v1/jobs").json["data"] == []
