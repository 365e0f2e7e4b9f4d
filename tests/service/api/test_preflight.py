"""Preflight: what a job would be is told, and nothing is queued."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from nncore.learning_rates import RateRange
from nncore.rehearsal import Rehearsal
from service.api import preflight
from service.store import workers
from service.store.models import Checkpoint, Job
from service.store.workers import Process
from tests.service.api.conftest import Service


def asked(service: Service, **fields: Any) -> dict[str, Any]:
    response = service.api.post("/v1/jobs/preflight", json=service.spec(**fields))
    assert response.status_code == 200, response.text
    return dict(response.json)


def codes(found: dict[str, Any]) -> set[str]:
    return {warning["code"] for warning in found["warnings"]}


def rows(count: int, scale: float = 1.0, share: float = 0.5) -> dict[str, Any]:
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 2)) * scale
    return {"columns": {"x": x.tolist(), "y": (np.arange(count) >= count * share).astype(int).tolist()}}


def test_it_tells_what_the_job_would_be_and_queues_nothing(stored_service: Service) -> None:
    found = asked(stored_service, epochs=20)
    queued = stored_service.api.post("/v1/jobs", json=stored_service.spec(dataset=None, epochs=20)).json
    assert found["spec"] == queued["spec"]
    assert (found["parameters"], found["steps"], found["memory_bytes"]) == (9, 20, queued["spec"]["sizes"]["memory_bytes"])
    assert found["gradient_check"]["ok"]
    assert found["gradient_check"]["relative_error"] < 1e-6
    assert found["estimate"]["measured"]
    assert found["estimate"]["steps_per_second"] > 0
    assert found["estimate"]["start_seconds"] is None
    assert "no_worker" in codes(found)
    assert found["parent"] is None
    with stored_service.store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 1


def test_the_baseline_is_what_the_trivial_answer_scores(service: Service) -> None:
    dataset = service.dataset(rows(200, share=0.7))
    found = asked(service, dataset=dataset)
    assert found["baseline"]["predicts"] == "0"
    assert found["baseline"]["metrics"] == {"accuracy": pytest.approx(0.7)}
    assert found["baseline"]["loss"] == pytest.approx(-(0.7 * np.log(0.7) + 0.3 * np.log(0.3)), rel=1e-5)
    mean = asked(service, dataset=dataset, loss={"type": "mean_squared_error"}, metrics=["r2"])["baseline"]
    assert mean["predicts"] == [pytest.approx(0.3)]
    assert (mean["loss"], mean["metrics"]["r2"]) == (pytest.approx(0.21, rel=1e-5), pytest.approx(0.0, abs=1e-5))


def test_it_warns_of_what_is_often_a_mistake(service: Service) -> None:
    assert "more_parameters_than_rows" in codes(asked(service))
    large = service.dataset(rows(200, scale=1000.0))
    assert codes(asked(service, dataset=large)) == {"large_inputs", "no_worker"}
    assert "large_inputs" not in codes(asked(service, dataset=large, preprocess=[{"type": "standardize"}]))
    assert "uneven_classes" in codes(asked(service, dataset=service.dataset(rows(100, share=0.95))))
    linear = {"network": {"layers": [{"type": "dense", "units": 1}]}, "loss": {"type": "mean_squared_error"}}
    fast = {"optimizer": {"type": "sgd", "learning_rate": 1000.0}}
    wild = asked(service, dataset=service.dataset(rows(200)), **linear, **fast)
    assert codes(wild) & {"diverges", "learning_rate"}
    steep = asked(service, dataset=service.dataset(rows(200)), **linear, optimizer={"type": "sgd", "learning_rate": 1.7})
    assert codes(steep) & {"diverges", "learning_rate", "learning_rate_range"}
    calm = asked(service, dataset=service.dataset(rows(200)), **linear, optimizer={"type": "sgd", "learning_rate": 0.01})
    assert codes(calm) == {"no_worker"}


@pytest.mark.parametrize(
    ("optimizer", "advice"),
    [
        ({"type": "sgd", "learning_rate": 0.1}, "dropout, or l2 to the optimizer"),
        ({"type": "adam"}, "dropout, or l2 to the optimizer"),
        ({"type": "adamw"}, "dropout, or weight_decay to the optimizer"),
        ({"type": "lbfgs"}, "add l2 to the optimizer"),
    ],
)
def test_what_it_advises_is_taken(service: Service, optimizer: dict[str, Any], advice: str) -> None:
    told = asked(service, optimizer=optimizer, **({"batch_size": 4} if optimizer["type"] == "lbfgs" else {}))
    (warning,) = [each["message"] for each in told["warnings"] if each["code"] == "more_parameters_than_rows"]
    assert advice in warning
    option = "weight_decay" if "weight_decay" in advice else "l2"
    asked(service, optimizer={**optimizer, option: 0.01}, **({"batch_size": 4} if optimizer["type"] == "lbfgs" else {}))


def test_a_job_does_not_end_before_it_has_trained(service: Service) -> None:
    workers.register(service.store, Process(1, 1), "here")
    estimate = asked(service, epochs=5)["estimate"]
    assert 0 < estimate["training_seconds"] <= estimate["finish_seconds"]


def test_a_rate_from_which_on_the_loss_goes_up_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(spec: Any, *_: Any) -> Rehearsal:
        losses = [1.0] * 10 + [0.5] * 10 + [2.0] * 10
        rates = RateRange([0.001 * number for number in range(1, 31)], losses, losses, None, "exploded")
        return Rehearsal(4, 10, 100.0, 1.0, 0.9, False, 1.0, None, rates)

    monkeypatch.setattr(preflight, "rehearse", seen)
    for rate, expected in ((0.01, False), (0.03, True), ("auto", False)):
        found = asked(service, optimizer={"type": "sgd", "learning_rate": rate})
        assert ("learning_rate_range" in codes(found)) == expected, rate


def test_the_jobs_ahead_are_counted(stored_service: Service) -> None:
    workers.register(stored_service.store, Process(1, 1), "here")
    alone = asked(stored_service)["estimate"]
    assert (alone["workers"], alone["jobs_ahead"], alone["start_seconds"]) == (1, 0, 0.0)
    for _ in range(3):
        stored_service.job()
    behind = asked(stored_service)["estimate"]
    assert (behind["jobs_ahead"], behind["start_seconds"]) == (3, 3 * stored_service.settings.turn_seconds)
    assert behind["finish_seconds"] >= behind["start_seconds"]
    assert asked(stored_service, priority=5)["estimate"]["jobs_ahead"] == 0


def test_it_refuses_what_the_job_would_be_refused_for(service: Service) -> None:
    body = service.spec(target="nothing", epochs=0)
    ours, theirs = (service.api.post(path, json=body) for path in ("/v1/jobs/preflight", "/v1/jobs"))
    assert ours.status_code == theirs.status_code == 422
    assert ours.json["errors"] == theirs.json["errors"]


def test_it_tells_of_a_parent_and_stores_nothing(service: Service) -> None:
    parent = service.job()
    service.work()
    found = asked(service, dataset=service.dataset(rows(50)), parent={"job": parent, "step": "best"})
    assert found["parent"]["continues"] == "parameters"
    with service.store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Checkpoint)) == 0


def test_rows_that_cannot_be_used_alone_are_not_tried(service: Service) -> None:
    """The column of weights is 0 in the first rows: nothing can be measured, and all else is told."""
    columns = {**rows(5000)["columns"], "w": [0.0] * 4500 + [1.0] * 500}
    found = asked(service, dataset=service.dataset({"columns": columns}), sample_weight="w", inputs=["x"])
    assert (found["estimate"]["measured"], found["gradient_check"]) == (False, None)
    assert found["estimate"]["training_seconds"] > 0
