"""Specs of jobs: everything that is wrong with one is said in one answer, where the user wrote it, and nothing is kept."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.service.api.conftest import Service
from tests.service.api.test_jobs import rows

DENSE = {"type": "dense", "units": 1}


def pointers(response: Any) -> set[str]:
    assert response.status_code == 422, response.text
    return {fault["pointer"] for fault in response.json["errors"]}


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


@pytest.mark.parametrize(
    ("tags", "pointer", "message"),
    [
        (
            {"a": [1]},
            "/tags/a",
            "a: expected text of at most 500 characters without NUL, a number, true, false or null, got a list of 1 item",
        ),
        ({"": 1}, "/tags/", 'the name "": expected at least 1 character, got 0'),
        ({str(at): 1 for at in range(65)}, "/tags", "tags: expected at most 64 items, got 65"),
    ],
)
def test_a_tag_that_cannot_be_taken_is_one_fault(service: Service, tags: dict[str, Any], pointer: str, message: str) -> None:
    response = service.api.post("/v1/jobs", json=service.spec(tags=tags))
    assert [(fault["pointer"], fault["message"]) for fault in response.json["errors"]] == [(pointer, message)]


def test_a_hundred_thousand_tags_are_not_looked_at_one_by_one(service: Service) -> None:
    body = json.dumps(service.spec(tags={str(at): [] for at in range(50_000)}))
    started = time.process_time()
    response = service.api.post("/v1/jobs", data=body, content_type="application/json")
    assert response.json["detail"] == "tags: expected at most 64 items, got 50,000"
    assert time.process_time() - started < 0.5


def test_a_state_that_is_none_is_told_with_those_there_are(service: Service) -> None:
    response = service.api.get("/v1/jobs?state=queued&state=runing")
    (fault,) = response.json["errors"]
    assert (response.status_code, fault["parameter"]) == (422, "state")
    assert fault["message"].startswith('state[1]: expected "queued", "running", ')
    assert fault["message"].endswith(', got "runing". Did you mean "running"?')
    assert response.json["detail"] == f"query parameter {fault['message']}"
