"""Jobs: what is refused, what is done once, what a state allows, and how one waits."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from service.store.errors import StoreBusy
from service.store.models import IdempotencyKey, Job, JobEvent
from tests.service.api.conftest import Caller, Service

DENSE = {"type": "dense", "units": 1}


def pointers(response: Any) -> set[str]:
    assert response.status_code == 422, response.text
    return {fault["pointer"] for fault in response.json["errors"]}


def rows(service: Service) -> list[int]:
    with service.store.read() as session:
        return [session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in (Job, JobEvent, IdempotencyKey)]


def test_all_faults_of_a_spec_are_said_at_once_and_nothing_is_written(service: Service) -> None:
    spec = service.spec(epochs=0, batch_size="8", colour="red", optimizer={"type": "adan"}, target=None)
    spec["network"] = {"layers": [{"type": "dense", "units": -1}, {"type": "dense", "units": 2, "activaton": "tanh"}]}
    response = service.api.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "k"})
    assert pointers(response) == {
        "/epochs",
        "/batch_size",
        "/colour",
        "/optimizer/type",
        "/target",
        "/network/layers/0/units",
        "/network/layers/1/activaton",
    }
    assert rows(service) == [0, 0, 0]


def test_faults_of_shape_of_sense_and_a_dataset_that_is_not_there_come_in_one_answer(service: Service) -> None:
    layers = [{"type": "dense", "units": 2, "activation": "step"}, {**DENSE, "weight": [[1, 2, 3]]}]
    wrong = {"optimizer": {"type": "adam", "speed": 1}, "network": {"layers": layers}, "name": "", "epochs": 10**8}
    known = service.api.post("/v1/jobs", json=service.spec(**wrong, target="z", inputs=["x"]))
    of_spec = {"/optimizer/speed", "/network/layers/0/activation", "/name", "/epochs"}
    assert pointers(known) == of_spec | {"/target", "/network/layers/1/weight"}
    unknown = service.api.post("/v1/jobs", json=service.spec(**wrong, target="z", dataset="ds_" + "0" * 26))
    assert pointers(unknown) == of_spec | {"/dataset"}
    assert rows(service) == [0, 0, 0]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"target": "z"}, "/target"),
        ({"inputs": ["x", "q"]}, "/inputs/1"),
        ({"network": {"layers": [{"type": "dense", "units": 3}]}}, "/network/layers/0/units"),
        ({"network": {"layers": [{"type": "dense", "units": 100_000}, DENSE]}}, "/network"),
        ({"network": {"layers": [{"type": "dense", "units": 2, "activation": "step"}, DENSE]}}, "/network/layers/0/activation"),
        ({"network": {"layers": [DENSE, {"type": "dense", "units": 1, "activation": "sigmoid"}]}}, "/network/layers/1/activation"),
        ({"validation": {"fraction": 0.99}}, "/validation/fraction"),
        ({"name": "a\nb"}, "/name"),
        ({"tags": {"a": [1]}}, "/tags/a"),
        ({"priority": 1000}, "/priority"),
        ({"seed": -1}, "/seed"),
        ({"optimizer": {"type": "adam", "learning_rate": "fast"}}, "/optimizer/learning_rate"),
    ],
)
def test_a_fault_points_at_what_the_user_wrote(service: Service, fields: dict[str, Any], pointer: str) -> None:
    response = service.api.post("/v1/jobs", json=service.spec(**fields))
    found = pointers(response)
    assert any(each.startswith(pointer) for each in found), found
    assert rows(service)[:2] == [0, 0]


def test_balanced_class_weights_are_echoed_as_numbers(service: Service) -> None:
    dataset = service.dataset({"columns": {"x": [1, 2, 3, 4], "y": ["a", "b", "a", "a"]}})
    loss = {"type": "softmax_cross_entropy", "class_weights": "balanced"}
    spec = service.spec(dataset=dataset, network={"layers": [{"type": "dense", "units": 2}]}, loss=loss)
    response = service.api.post("/v1/jobs", json=spec)
    assert response.status_code == 202, response.text
    assert response.json["spec"]["loss"]["class_weights"] == [4 / 6, 4 / 2]


def test_training_through_a_step_is_refused_with_reason_and_remedy(service: Service) -> None:
    layers = [{"type": "dense", "units": 2, "activation": "step"}, DENSE]
    (fault,) = service.api.post("/v1/jobs", json=service.spec(network={"layers": layers})).json["errors"]
    assert "slope" in fault["message"]
    assert any(remedy in fault["message"] for remedy in ("sigmoid", "tanh", "relu"))


def test_an_oversized_network_is_refused_with_its_size(service: Service) -> None:
    layers = [{"type": "dense", "units": 50_000}, DENSE]
    response = service.api.post("/v1/jobs", json=service.spec(network={"layers": layers}))
    assert response.status_code == 422
    assert "200,001" in response.text


def test_a_label_outside_the_classes_is_refused_with_the_numbers(service: Service) -> None:
    dataset = service.dataset({"columns": {"x": [1, 2, 3], "y": [0, 1, 7]}})
    network = {"layers": [{"type": "dense", "units": 3}]}
    response = service.api.post("/v1/jobs", json=service.spec(dataset=dataset, network=network, loss={"type": "softmax_cross_entropy"}))
    assert response.status_code == 422
    assert "7" in response.json["errors"][0]["message"]
    assert "3" in response.json["errors"][0]["message"]


@pytest.mark.parametrize("dataset", ["ds_0123456789abcdefghjkmnpqrs", "job", "ds_\x00", "../../../etc/passwd", "ds_" + "z" * 26])
def test_a_dataset_that_is_not_there_is_404(service: Service, dataset: str) -> None:
    response = service.api.post("/v1/jobs", json=service.spec(dataset=dataset))
    assert (response.status_code, response.json["code"]) == (404, "not_found")
    assert response.json["errors"][0]["pointer"] == "/dataset"


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
