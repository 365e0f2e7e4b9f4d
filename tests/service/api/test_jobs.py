"""Jobs: what is done once, what a state allows, and how one waits."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from service.store.errors import StoreBusy
from service.store.models import IdempotencyKey, Job, JobEvent
from tests.service.api.conftest import Caller, Service


def rows(service: Service) -> list[int]:
    with service.store.read() as session:
        return [session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in (Job, JobEvent, IdempotencyKey)]


def test_the_same_key_and_body_give_the_same_answer(service: Service) -> None:
    spec = service.spec()
    first = service.api.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"})
    service.work()
    again = service.api.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"})
    assert (again.status_code, again.get_data()) == (202, first.get_data())
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert rows(service)[0] == 1


def test_the_same_key_with_another_body_is_refused(service: Service) -> None:
    spec = service.spec()
    service.api.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "once"})
    response = service.api.post("/v1/jobs", json={**spec, "epochs": 3}, headers={"Idempotency-Key": "once"})
    assert (response.status_code, response.json["code"]) == (422, "idempotency_conflict")


def test_twins_at_the_same_time_make_one_job(stored_service: Service) -> None:
    spec = stored_service.spec()
    answers: list[Any] = []
    start = threading.Barrier(6)

    def send() -> None:
        start.wait()
        answers.append(stored_service.api.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "twin"}))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_data() for answer in answers}) == 1
    assert rows(stored_service)[0] == 1


def test_a_key_of_one_route_or_tenant_is_none_of_another(service: Service) -> None:
    headers = {"Idempotency-Key": "k"}
    dataset = service.api.post("/v1/datasets", json={"columns": {"x": [1, 2], "y": [0, 1]}}, headers=headers).json["id"]
    assert service.api.post("/v1/jobs", json=service.spec(dataset=dataset), headers=headers).status_code == 202
    other = service.caller("other", ["read", "write"])
    assert other.post("/v1/datasets", json={"columns": {"x": [5]}}, headers=headers).status_code == 201


def test_actions_change_a_job_once_and_say_what_is_possible(service: Service) -> None:
    job = service.job()
    asked = [("pause", 202, "paused"), ("pause", 200, "paused"), ("resume", 202, "queued"), ("cancel", 202, "cancelled")]
    for action, status, state in asked:
        response = service.api.post(f"/v1/jobs/{job}/{action}")
        assert (response.status_code, response.json["state"]) == (status, state)
    refused = service.api.post(f"/v1/jobs/{job}/resume")
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_action")
    assert refused.json["allowed_actions"] == []
    assert service.api.post(f"/v1/jobs/{job}/cancel").status_code == 200


def test_a_stopped_job_keeps_what_it_learned(service: Service) -> None:
    job = service.job(epochs=1_000_000)
    service.work_a_little()
    assert service.api.post(f"/v1/jobs/{job}/stop").json["state"] == "stopped"
    assert service.api.get(f"/v1/jobs/{job}/weights").status_code == 200


def test_an_unchanged_job_is_not_sent_again(service: Service) -> None:
    job = service.job()
    first = service.api.get(f"/v1/jobs/{job}")
    same = service.api.get(f"/v1/jobs/{job}", headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.get_data(), same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    service.api.post(f"/v1/jobs/{job}/pause")
    assert service.api.get(f"/v1/jobs/{job}", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_long_poll_ends_with_the_change(service: Service) -> None:
    job = service.job()
    tag = service.api.get(f"/v1/jobs/{job}").headers["ETag"]
    timer = threading.Timer(0.3, lambda: service.api.post(f"/v1/jobs/{job}/cancel"))
    timer.start()
    started = time.monotonic()
    response = service.api.get(f"/v1/jobs/{job}", headers={"If-None-Match": tag, "Prefer": "wait=20"})
    assert (response.status_code, response.json["state"]) == (200, "cancelled")
    assert response.headers["Preference-Applied"] == "wait=20"
    assert 0.25 < time.monotonic() - started < 5
    timer.join()


def test_a_long_poll_without_change_ends_with_its_time(service: Service) -> None:
    job = service.job()
    tag = service.api.get(f"/v1/jobs/{job}").headers["ETag"]
    started = time.monotonic()
    assert service.api.get(f"/v1/jobs/{job}", headers={"If-None-Match": tag, "Prefer": "respond-async, wait=1"}).status_code == 304
    assert service.api.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=1"}).status_code == 200
    assert 1.9 < time.monotonic() - started < 6


@pytest.mark.parametrize("prefer", ["wait=soon", "wait=-5", "wait", "wait=1e3", "wait=" + "9" * 5000, "", ";;=,"])
def test_a_preference_that_cannot_be_read_is_ignored(service: Service, prefer: str) -> None:
    job = service.job()
    started = time.monotonic()
    assert service.api.get(f"/v1/jobs/{job}", headers={"Prefer": prefer}).status_code == 200
    assert time.monotonic() - started < 1


def test_an_ended_job_is_not_waited_for(service: Service) -> None:
    job = service.job()
    service.api.post(f"/v1/jobs/{job}/cancel")
    started = time.monotonic()
    assert service.api.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=30"}).status_code == 200
    assert time.monotonic() - started < 1


def test_long_polls_beyond_the_budget_are_sent_away(service: Service) -> None:
    job = service.job()
    places = [service.context.streams.enter() for _ in range(service.context.streams.limit)]
    response = service.api.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=30"})
    assert (response.status_code, response.json["code"]) == (503, "too_many_streams")
    assert int(response.headers["Retry-After"]) > 0
    assert service.api.get(f"/v1/jobs/{job}").status_code == 200
    for leave in places:
        leave()
        leave()
    assert service.api.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=1"}).status_code == 200


def test_a_busy_store_is_said_with_when_to_come_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise StoreBusy("locked")

    spec = service.spec()
    monkeypatch.setattr("service.api.jobs.stored.create", busy)
    response = service.api.post("/v1/jobs", json=spec)
    assert (response.status_code, response.json["code"]) == (503, "store_busy")
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=" + "1" * 5000, "state=lost", "cursor=%00", "cursor=1' OR 1", "dataset=x", "page=2"]
)
def test_a_query_that_makes_no_sense_is_refused_by_name(api: Caller, query: str) -> None:
    response = api.get(f"/v1/jobs?{query}")
    assert response.status_code == 422
    assert response.json["errors"][0]["parameter"].split("/")[0] == query.split("=")[0]


def test_a_running_job_tells_when_it_may_end(service: Service) -> None:
    job = service.job(epochs=1000)
    with service.store.write() as session:
        told = {"steps_per_second": 20.0, "median_rate": 10.0, "slow_rate": 4.0}
        session.execute(sa.update(Job).where(Job.id == job).values(state="running", step=600, progress=told))
    progress = service.api.get(f"/v1/jobs/{job}").json["progress"]
    assert [progress[name] for name in ("eta_seconds", "eta_p50_seconds", "eta_p90_seconds")] == [20.0, 40.0, 100.0]


def test_a_target_too_large_for_the_dtype_is_told_where_inputs_are_named(service: Service) -> None:
    dataset = service.api.post("/v1/datasets", json={"columns": {"a": [1e39, 1], "b": [1, 2]}}).json["id"]
    network = {"layers": [{"type": "dense", "units": 1}]}
    response = service.api.post("/v1/jobs", json={"dataset": dataset, "target": "a", "inputs": ["b"], "network": network})
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json["errors"]] == ["/target"]


def test_more_faults_than_are_told_are_said_to_be_the_first(service: Service) -> None:
    layers = [{"type": "dense", "units": -1}] * 150
    response = service.api.post("/v1/jobs", json={"dataset": "ds_x", "target": "y", "network": {"layers": layers}})
    assert response.json["detail"].startswith("The first 20 faults")
