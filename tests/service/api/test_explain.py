"""Explanations: at once, or as a job that goes on where it was interrupted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.api.conftest import Service, model_of
from tests.service.api.test_imports import CLASSES, saved, sent, tensors

QUESTIONS: list[dict[str, Any]] = [
    {"type": "permutation_importance", "repeats": 2},
    {"type": "input_gradients", "inputs": {"x": [[0, 1], [1, 1]]}, "output": 0},
    {"type": "layer_activations", "inputs": {"x": [[0, 1]]}, "layers": [0]},
    {"type": "maximal_input", "layer": 0, "units": [0, 1], "steps": 5},
    {"type": "loss_line", "points": 5},
    {"type": "loss_plane", "points": 3},
    {"type": "gradient_check"},
]
AS_A_JOB = ("permutation_importance", "maximal_input", "loss_line", "loss_plane")


@pytest.fixture
def trained(stored_service: Service) -> str:
    job = stored_service.job(epochs=2)
    stored_service.work()
    return job


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: str(question["type"]))
def test_the_same_question_gets_the_same_answer_at_once_and_as_a_job(question: dict[str, Any], service: Service) -> None:
    trained = service.job(epochs=2)
    service.work()
    url = f"/v1/jobs/{trained}/explain"
    first = service.api.post(url, json={"explain": question, "run": "now"})
    assert first.status_code == 200, first.text
    assert first.json["explain"]["type"] == question["type"]
    assert service.api.post(url, json={"explain": question}).json == first.json
    queued = service.api.post(url, json={"explain": question, "run": "job", "name": "why"})
    if question["type"] not in AS_A_JOB:
        assert queued.json == first.json, "it is never worth a job"
        return
    assert (queued.status_code, queued.json["kind"], queued.json["name"]) == (202, "explain", "why")
    job = queued.json["id"]
    assert service.api.get(f"/v1/jobs/{job}/explanation").status_code == 409
    service.work()
    shown = service.api.get(f"/v1/jobs/{job}").json
    assert (shown["state"], shown["progress"]["step"]) == ("succeeded", shown["progress"]["steps"])
    answer = service.api.get(f"/v1/jobs/{job}/explanation")
    assert answer.json == first.json
    assert service.api.get(f"/v1/jobs/{job}/explanation", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_a_job_goes_on_where_it_was(stored_service: Service, trained: str) -> None:
    service, question = stored_service, {"type": "loss_line", "points": 7}
    url = f"/v1/jobs/{trained}/explain"
    job = service.api.post(url, json={"explain": question, "run": "job"}).json["id"]
    service.work_a_little()
    assert service.api.get(f"/v1/jobs/{job}").json["progress"]["step"] == 1
    assert service.api.delete(f"/v1/jobs/{trained}").status_code == 200, "its network is its own"
    service.work()
    assert len(service.api.get(f"/v1/jobs/{job}/explanation").json["losses"]) == 7
    assert [each["id"] for each in service.api.get("/v1/jobs?kind=explain").json["data"]] == [job]


def test_what_takes_long_is_a_job_unless_it_must_be_now(stored_service: Service, trained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.explain.MOST_WORK", 1)
    url, question = f"/v1/jobs/{trained}/explain", {"type": "loss_plane", "points": 3}
    assert stored_service.api.post(url, json={"explain": question}).status_code == 202
    refused = stored_service.api.post(url, json={"explain": question, "run": "now"})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "too_much_work")
    monkeypatch.undo()
    monkeypatch.setattr("service.api.explain.MOST_SECONDS", 0.0)
    assert stored_service.api.post(url, json={"explain": question}).status_code == 202


def test_rows_that_were_held_out_are_asked_about(service: Service) -> None:
    columns = {"x": [[row % 2, row % 3] for row in range(40)], "y": [row % 2 for row in range(40)]}
    job = service.job(dataset=service.dataset({"columns": columns}), validation={"fraction": 0.25}, epochs=2)
    service.work()
    url, question = f"/v1/jobs/{job}/explain", {"type": "permutation_importance"}
    assert service.api.post(url, json={"explain": question}).json["rows"] == 10
    other = service.dataset({"columns": {name: values[:20] for name, values in columns.items()}})
    assert service.api.post(url, json={"explain": question, "dataset": other}).json["rows"] == 20


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"explain": {"type": "nonsense"}}, "/explain/type"),
        ({"explain": {"type": "loss_line", "points": 2}}, "/explain/points"),
        ({"explain": {"type": "maximal_input", "layer": 9, "units": [0]}}, "/explain/layer"),
        ({"explain": {"type": "input_gradients", "inputs": {"y": [1]}}}, "/explain/inputs/y"),
        ({"explain": {"type": "permutation_importance", "metric": "r2"}}, "/explain/metric"),
        ({}, "/explain"),
    ],
)
def test_a_fault_points_at_the_value(service: Service, body: dict[str, Any], pointer: str) -> None:
    job = service.job(epochs=2)
    service.work()
    response = service.api.post(f"/v1/jobs/{job}/explain", json=body)
    assert (response.status_code, response.json["errors"][0]["pointer"]) == (422, pointer), response.json


def test_only_trainings_are_asked(stored_service: Service, trained: str) -> None:
    service = stored_service
    question = {"explain": {"type": "loss_line", "points": 3}, "run": "job"}
    job = service.api.post(f"/v1/jobs/{trained}/explain", json=question).json["id"]
    assert service.api.post(f"/v1/jobs/{job}/explain", json=question).json["code"] == "other_kind"
    assert service.api.get(f"/v1/jobs/{trained}/explanation").json["code"] == "other_kind"


@pytest.mark.parametrize("which", ["alias=production", "version=1", ""])
def test_a_version_answers_as_its_job_does_and_says_that_it_did(stored_service: Service, trained: str, which: str) -> None:
    api = stored_service.api
    model_of(stored_service, trained)
    for question in (QUESTIONS[0], QUESTIONS[4]):
        of_job = api.post(f"/v1/jobs/{trained}/explain", json={"explain": question}).json
        of_model = api.post(f"/v1/models/digits/explain?{which}", json={"explain": question}).json
        network = of_model.pop("network")
        assert (network.pop("model"), network.pop("version")) == ("digits", 1)
        assert network | {"model": None, "version": None} == of_job.pop("network")
        assert of_model == of_job
    both = api.post("/v1/models/digits/explain?alias=production&version=1", json={"explain": QUESTIONS[4]})
    assert (both.status_code, both.json["errors"][0]["code"]) == (422, "two_versions")
    assert api.post("/v1/models/digits/explain?version=2", json={"explain": QUESTIONS[4]}).status_code == 404


def test_a_version_is_asked_as_a_job_that_needs_nothing_of_it(stored_service: Service, trained: str) -> None:
    api, question = stored_service.api, {"explain": {"type": "loss_line", "points": 3}, "run": "job"}
    model_of(stored_service, trained)
    queued = api.post("/v1/models/digits/explain?alias=production", json=question, headers={"Idempotency-Key": "once"})
    again = api.post("/v1/models/digits/explain?alias=production", json=question, headers={"Idempotency-Key": "once"})
    assert (queued.status_code, again.json["id"], again.headers["Idempotent-Replayed"]) == (202, queued.json["id"], "true")
    assert queued.json["links"]["network"] == "/v1/models/digits/versions/1"
    api.delete("/v1/models/digits/aliases/production", headers={"If-Match": "*"})
    assert api.delete("/v1/models/digits").status_code == 200
    stored_service.work()
    answer = api.get(f"/v1/jobs/{queued.json['id']}/explanation").json
    assert (answer["network"]["version"], len(answer["losses"])) == (1, 3)


def test_an_imported_network_is_asked_of_rows_that_are_named(service: Service) -> None:
    api = service.api
    api.post("/v1/models", json={"name": "digits"})
    assert sent(service, saved("npz", tensors()), CLASSES).status_code == 201
    url = "/v1/models/digits/explain"
    assert len(api.post(url, json={"explain": {"type": "maximal_input", "layer": 0, "units": [0], "steps": 3}}).json["units"]) == 1
    rows = {"height": [1.0, 2.0, 3.0, 4.0], "width": [0.5, -1.0, 0.0, 1.0], "kind": ["cat", "dog", "cat", "dog"]}
    dataset = service.dataset({"columns": rows})
    for question in (QUESTIONS[0], QUESTIONS[4], QUESTIONS[6]):
        answer = api.post(url, json={"explain": question, "dataset": dataset})
        assert answer.status_code == 200, answer.text
    assert api.post(url, json={"explain": QUESTIONS[0], "dataset": dataset}).json["rows"] == 4
    for body in ({"explain": QUESTIONS[0]}, {"explain": QUESTIONS[3], "run": "job"}):
        refused = api.post(url, json=body).json["errors"][0]
        assert (refused["pointer"], refused["code"]) == ("/dataset", "missing")
    other = service.dataset()
    refused = api.post(url, json={"explain": QUESTIONS[0], "dataset": other}).json["errors"][0]
    assert refused["pointer"] == "/dataset"
    job = api.post(url, json={"explain": QUESTIONS[4], "dataset": dataset, "run": "job"}).json["id"]
    service.work()
    assert len(api.get(f"/v1/jobs/{job}/explanation").json["losses"]) == 5


def test_parts_of_an_answer_are_served(service: Service) -> None:
    job = service.job(epochs=2)
    service.work()
    asked = service.api.post(f"/v1/jobs/{job}/explain", json={"explain": QUESTIONS[4], "run": "job"}).json["id"]
    service.work()
    whole = service.api.get(f"/v1/jobs/{asked}/explanation")
    part = service.api.get(f"/v1/jobs/{asked}/explanation", headers={"Range": "bytes=1-5", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.data) == (206, whole.data[1:6])
