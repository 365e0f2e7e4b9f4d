"""Going on from another job: bit for bit where only its end changes, with its parameters where anything else does."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from service.store.models import Checkpoint, Job, JobMetric
from tests.service.api.conftest import Service

MORE = {"name": "other", "columns": {"x": [[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0]], "y": [0, 1, 1, 0, 1]}}
BODY: dict[str, Any] = {"validation": None, "preprocess": [{"type": "standardize"}], "tags": {"lesson": 1}}


def ended(service: Service, **fields: Any) -> dict[str, Any]:
    """A job that has ended."""
    job = service.job(**BODY | fields)
    service.work()
    return dict(service.api.get(f"/v1/jobs/{job}").json)


def forked(service: Service, parent: dict[str, Any], step: int | str = "last", **changes: Any) -> dict[str, Any]:
    """A job that goes on from it and has ended."""
    response = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"], "step": step}, **changes})
    assert response.status_code == 202, response.text
    service.work()
    document = dict(service.api.get(f"/v1/jobs/{response.json['id']}").json)
    assert document["state"] == "succeeded", document
    return document


def weights(service: Service, job: dict[str, Any], snapshot: str = "last") -> bytes:
    return service.api.get(f"/v1/jobs/{job['id']}/weights?snapshot={snapshot}").get_data()


def steps(service: Service, job: dict[str, Any]) -> list[int]:
    with service.store.read() as session:
        return list(session.scalars(sa.select(JobMetric.step).where(JobMetric.job_id == job["id"]).order_by(JobMetric.step)))


def test_further_epochs_are_the_unbroken_run_bit_for_bit(stored_service: Service) -> None:
    dataset = stored_service.dataset()
    unbroken = ended(stored_service, dataset=dataset, epochs=50)
    parent = ended(stored_service, dataset=dataset, epochs=20)
    before = stored_service.api.get(f"/v1/jobs/{parent['id']}").get_data()
    child = forked(stored_service, parent, epochs=30)
    assert child["parent"] == {
        "job": parent["id"],
        "model": None,
        "version": None,
        "step": 20,
        "epoch": 20,
        "continues": "exactly",
        "preprocessing": "kept",
        "further_epochs": 30,
        "from_checkpoint": None,
    }
    assert child["links"]["parent"] == f"/v1/jobs/{parent['id']}"
    assert (child["spec"]["epochs"], child["progress"]["step"], child["dataset"]) == (50, 50, dataset)
    for snapshot in ("best", "last"):
        assert weights(stored_service, child, snapshot) == weights(stored_service, unbroken, snapshot)
    assert stored_service.api.get(f"/v1/jobs/{parent['id']}").get_data() == before


def test_a_run_goes_on_from_its_newest_checkpoint(stored_service: Service) -> None:
    dataset = stored_service.dataset()
    unbroken = ended(stored_service, dataset=dataset, epochs=3000)
    job = stored_service.job(**BODY, dataset=dataset, epochs=2000)
    stored_service.work_a_little()
    kept = stored_service.api.get(f"/v1/jobs/{job}").json["progress"]["step"]
    assert 0 < kept < 2000
    stored_service.work()
    child = forked(stored_service, stored_service.api.get(f"/v1/jobs/{job}").json, epochs=1000)
    assert (child["parent"]["continues"], child["parent"]["from_checkpoint"], child["parent"]["step"]) == ("exactly", kept, 2000)
    assert min(steps(stored_service, child)) > kept
    assert weights(stored_service, child) == weights(stored_service, unbroken)
    grandchild = forked(stored_service, child, epochs=1)
    assert (grandchild["parent"]["continues"], grandchild["spec"]["epochs"]) == ("exactly", 3001)


def test_a_job_that_is_paused_may_be_gone_on_from(service: Service) -> None:
    job = service.job(**BODY, epochs=100_000)
    service.work_a_little()
    service.api.post(f"/v1/jobs/{job}/pause")
    parent = service.api.get(f"/v1/jobs/{job}").json
    child = forked(service, parent, epochs=2)
    assert (child["parent"]["continues"], child["parent"]["epoch"]) == ("exactly", parent["progress"]["epoch"])
    assert child["spec"]["epochs"] == parent["progress"]["epoch"] + 2
    assert service.api.get(f"/v1/jobs/{job}").json["state"] == "paused"
    left = service.api.post("/v1/jobs", json={"parent": {"job": job}}).json
    assert left["spec"]["epochs"] == 100_000


@pytest.mark.parametrize(
    ("step", "changes"), [("last", {"optimizer": {"type": "sgd", "learning_rate": 1e-30}}), ("best", {}), ("last", {"dataset": "another"})]
)
def test_with_anything_else_changed_a_run_begins_with_the_parameters(service: Service, step: str, changes: dict[str, Any]) -> None:
    parent = ended(service)
    if "dataset" in changes:
        changes = {"dataset": service.dataset(MORE)}
    response = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"], "step": step}, "epochs": 1, **changes})
    child = response.json
    assert (child["parent"]["continues"], child["parent"]["from_checkpoint"], child["spec"]["epochs"]) == ("parameters", 0, 1)
    first = service.api.get(f"/v1/jobs/{child['id']}/weights?format=json").json
    assert first["parameters"] == service.api.get(f"/v1/jobs/{parent['id']}/weights?format=json&snapshot={step}").json["parameters"]
    service.work()
    after = service.api.get(f"/v1/jobs/{child['id']}").json
    assert (after["state"], after["progress"]["step"]) == ("succeeded", after["spec"]["sizes"]["steps"])
    if "optimizer" in changes:  # it moves nothing
        assert service.api.get(f"/v1/jobs/{child['id']}/weights?format=json").json["parameters"] == first["parameters"]


def test_averages_begin_where_the_parameters_do(service: Service) -> None:
    parent = ended(service)
    child = forked(service, parent, epochs=1, optimizer={"type": "sgd", "learning_rate": 1e-30, "average_decay": 0.5})
    ours, theirs = (service.api.get(f"/v1/jobs/{job['id']}/weights?format=json&snapshot=last").json for job in (child, parent))
    assert ours["parameters"] == theirs["parameters"]


def test_what_does_not_fit_is_refused_by_name(service: Service) -> None:
    parent = ended(service)
    wider = [{"type": "dense", "units": 3, "activation": "tanh"}, {"type": "dense", "units": 1}]
    response = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"]}, "network": {"layers": wider}})
    assert (response.status_code, response.json["errors"][0]["code"]) == (422, "parameters_mismatch")
    assert response.json["errors"][0]["pointer"] == "/network"
    assert "0.weight of shape [3, 2]" in response.json["errors"][0]["message"]
    texts = service.dataset({"columns": {"x": [[0, 0], [0, 1]], "y": ["no", "yes"]}})
    response = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"]}, "dataset": texts})
    assert (response.status_code, [error["code"] for error in response.json["errors"]]) == (422, ["other_classes"])
    with service.store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 1


def test_texts_must_mean_what_they_meant(service: Service) -> None:
    step = {"preprocess": [{"type": "one_hot"}], "inputs": ["x"]}
    parent = ended(service, **step, dataset=service.dataset({"columns": {"x": ["a", "b"], "y": [0, 1]}}))
    other = service.dataset({"columns": {"x": ["a", "c", "a"], "y": [0, 1, 1]}})
    response = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"]}, "dataset": other})
    assert [error["code"] for error in response.json["errors"]] == ["other_categories"]
    assert '"c"' in response.json["errors"][0]["message"]
    same = service.dataset({"columns": {"x": ["a", "b", "a"], "y": [0, 1, 1]}})
    assert forked(service, parent, dataset=same)["parent"]["continues"] == "parameters"


def test_a_run_that_was_stopped_early_is_not_asked_to_end_at_once(service: Service) -> None:
    waits = {"early_stopping": {"patience": 1, "min_delta": 10.0}}
    parent = ended(service, **waits)
    assert parent["progress"]["epoch"] < parent["progress"]["epochs"]
    refused = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"]}, "epochs": 5})
    assert [(error["pointer"], error["code"]) for error in refused.json["errors"]] == [("/early_stopping", "ends_at_once")]
    child = forked(service, parent, epochs=5, early_stopping=None)
    assert child["parent"]["continues"] == "exactly"
    assert child["progress"]["epoch"] == parent["progress"]["epoch"] + 5


@pytest.mark.parametrize(
    ("given", "pointer"),
    [("job", "/parent"), ({}, "/parent/job"), ({"job": "x", "step": 1.5}, "/parent/step"), ({"job": "x", "at": 1}, "/parent/at")],
)
def test_a_parent_that_cannot_be_read_is_refused(service: Service, given: Any, pointer: str) -> None:
    response = service.api.post("/v1/jobs", json=service.spec(parent=given))
    assert (response.status_code, [error["pointer"] for error in response.json["errors"]]) == (422, [pointer])


def test_a_parent_that_is_not_there_or_kept_nothing_is_said(service: Service) -> None:
    parent = ended(service)
    mine = {"parent": {"job": parent["id"]}}
    assert service.api.post("/v1/jobs", json={"parent": {"job": "job_x"}}).status_code == 404
    assert service.caller("other", ["write"]).post("/v1/jobs", json=mine).status_code == 404
    missing = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"], "step": 3}})
    assert (missing.status_code, missing.json["code"]) == (404, "no_such_snapshot")
    assert "best, last, 20" in missing.json["detail"]
    queued = service.job()
    assert service.api.post("/v1/jobs", json={"parent": {"job": queued}}).status_code == 409
    service.api.post(f"/v1/jobs/{queued}/cancel")
    assert service.api.post("/v1/jobs", json={"parent": {"job": queued}}).status_code == 409


def test_a_start_that_is_damaged_fails_the_job_and_trains_nothing(service: Service) -> None:
    parent = ended(service)
    child = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"], "step": "best"}}).json["id"]
    with service.store.write() as session:
        session.execute(sa.delete(Checkpoint).where(Checkpoint.job_id == child))
    service.work()
    document = service.api.get(f"/v1/jobs/{child}").json
    assert (document["state"], document["reason"]["code"]) == ("failed", "invalid_data")


def test_a_child_needs_nothing_of_its_parent_any_more(service: Service) -> None:
    parent = ended(service)
    child = service.api.post("/v1/jobs", json={"parent": {"job": parent["id"]}, "seed": 9}).json["id"]
    with service.store.write() as session:
        session.execute(sa.text("DELETE FROM snapshot"))
    service.work()
    assert service.api.get(f"/v1/jobs/{child}").json["state"] == "succeeded"


def test_the_same_key_makes_one_child(service: Service) -> None:
    parent = ended(service)
    sent = {"json": {"parent": {"job": parent["id"]}}, "headers": {"Idempotency-Key": "once"}}
    first, again = (service.api.post("/v1/jobs", **sent) for _ in range(2))
    assert first.get_data() == again.get_data()
