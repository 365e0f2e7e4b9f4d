"""Numbers that are left to the service: found once, told with how, and kept with the job."""

from __future__ import annotations

from typing import Any

import pytest

from nncore.data import TrainingData
from service.store import jobs
from service.store.states import Action
from tests.service.api.conftest import Service
from worker import slice as worker_slice

AUTO = {"optimizer": {"type": "adam", "learning_rate": "auto"}, "batch_size": "auto"}


def found(document: dict[str, Any]) -> dict[str, Any]:
    return {each["pointer"]: each["value"] for each in document["spec"]["found"]}


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The specs for which a rate was looked for."""
    asked: list[Any] = []
    look_for = worker_slice.with_found_rate

    def noted(spec: Any, *arguments: Any) -> Any:
        asked.append(spec)
        return look_for(spec, *arguments)

    monkeypatch.setattr(worker_slice, "with_found_rate", noted)
    return asked


def test_a_rate_is_found_by_the_worker_once_and_kept(stored_service: Service, probes: list[Any]) -> None:
    service = stored_service
    job = service.job(**AUTO, epochs=500)
    before = service.api.get(f"/v1/jobs/{job}").json
    assert before["spec"]["optimizer"]["learning_rate"] == "auto"
    assert found(before) == {"/batch_size": 4, "/optimizer/learning_rate": None}
    service.work_a_little()
    during = service.api.get(f"/v1/jobs/{job}").json
    rate = during["spec"]["optimizer"]["learning_rate"]
    assert found(during) == {"/batch_size": 4, "/optimizer/learning_rate": rate}
    assert 0 < rate < 2
    service.work()
    after = service.api.get(f"/v1/jobs/{job}").json
    assert (after["state"], after["spec"], after["slices"], len(probes)) == ("succeeded", during["spec"], 2, 1)
    events = service.api.get(f"/v1/jobs/{job}/events").json["data"]
    assert [event["data"] for event in events if event["type"] == "settled"] == [{"learning_rate": rate}]

    said = service.job(epochs=500, batch_size=4, optimizer={"type": "adam", "learning_rate": rate})
    service.work()
    last = [service.api.get(f"/v1/jobs/{each}/metrics").json["data"][-1]["loss"] for each in (job, said)]
    assert last[0] == last[1], "as if the number had been said at once"
    child = service.api.post("/v1/jobs", json={"parent": {"job": job}, "epochs": 5}).json
    assert (child["spec"]["optimizer"]["learning_rate"], child["parent"]["continues"]) == (rate, "exactly")


def test_epochs_end_early_and_go_on_from_a_parent(service: Service) -> None:
    job = service.job(epochs="auto")
    document = service.api.get(f"/v1/jobs/{job}").json
    assert (document["spec"]["epochs"], document["spec"]["early_stopping"]["patience"]) == (1000, 50)
    service.work()
    epoch = service.api.get(f"/v1/jobs/{job}").json["progress"]["epoch"]
    body = {"parent": {"job": job}, "epochs": "auto", "early_stopping": {"patience": 60}}
    child = service.api.post("/v1/jobs", json=body).json
    assert (child["spec"]["epochs"], child["parent"]["continues"]) == (epoch + 1000, "exactly")


@pytest.mark.parametrize(("action", "state"), [(Action.PAUSE, "paused"), (Action.STOP, "stopped"), (Action.CANCEL, "cancelled")])
def test_what_is_asked_meanwhile_is_done_soon(service: Service, monkeypatch: pytest.MonkeyPatch, action: Action, state: str) -> None:
    job = service.job(**AUTO)
    monkeypatch.setattr(worker_slice, "LOOK_SECONDS", 0.0)
    prepare = TrainingData.prepare

    def asked(*arguments: Any) -> Any:
        jobs.request(service.store, "default", job, action)
        return prepare(*arguments)

    monkeypatch.setattr(TrainingData, "prepare", asked)
    service.work()
    document = service.api.get(f"/v1/jobs/{job}").json
    assert (document["state"], found(document)["/optimizer/learning_rate"]) == (state, None)
    if state == "paused":
        monkeypatch.undo()
        service.api.post(f"/v1/jobs/{job}/resume")
        service.work()
        assert service.api.get(f"/v1/jobs/{job}").json["state"] == "succeeded"


def test_a_preflight_tells_what_can_be_told_without_training(service: Service) -> None:
    told = service.api.post("/v1/jobs/preflight", json=service.spec(**AUTO, epochs="auto")).json
    assert {each["pointer"]: each["value"] for each in told["spec"]["found"]} == {
        "/batch_size": 4,
        "/epochs": 1000,
        "/optimizer/learning_rate": None,
    }
    assert [type(each["value"]) for each in told["spec"]["found"] if each["value"] is not None] == [int, int]
    assert told["estimate"]["measured"] is True


def test_what_is_no_number_and_not_auto_is_one_fault(service: Service) -> None:
    body = service.spec(optimizer={"type": "adam", "learning_rate": "fast"}, batch_size="all", epochs=0)
    response = service.api.post("/v1/jobs", json=body)
    assert [fault["pointer"] for fault in response.json["errors"]] == ["/optimizer/learning_rate", "/batch_size", "/epochs"]
