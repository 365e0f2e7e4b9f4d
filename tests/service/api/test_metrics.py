"""Reports: thinned to what a chart needs, and as CSV."""

from __future__ import annotations

import csv
import io

import pytest

from tests.service.api.conftest import Service
from tests.service.api.test_events import stream


def test_reports_are_thinned_evenly_with_first_and_last(service: Service) -> None:
    job = service.job(epochs=100)
    service.work()
    path = f"/v1/jobs/{job}/metrics"
    every = service.api.get(path).json["data"]
    few = service.api.get(f"{path}?max_points=10").json
    assert [report["step"] for report in few["data"]] == [1, 12, 23, 34, 45, 56, 67, 78, 89, 100]
    assert few["next_cursor"] is None
    assert all(report in every for report in few["data"])
    assert service.api.get(f"{path}?max_points=500").json["data"] == every
    assert [report["step"] for report in service.api.get(f"{path}?max_points=2&after_step=50").json["data"]] == [51, 100]


@pytest.mark.parametrize(("query", "accept"), [("?format=csv", "application/json"), ("", "text/csv")])
def test_reports_are_csv_for_who_asks(service: Service, query: str, accept: str) -> None:
    job = service.job(epochs=5, metrics=["accuracy", "confusion_matrix"])
    service.work()
    reports = service.api.get(f"/v1/jobs/{job}/metrics").json["data"]
    response = service.api.get(f"/v1/jobs/{job}/metrics{query}", headers={"Accept": accept})
    assert response.mimetype == "text/csv"
    lines = list(csv.DictReader(io.StringIO(response.get_data(as_text=True))))
    assert list(lines[0]) == [
        "step", "epoch", "epoch_ended", "loss", "recent_loss", "validation_loss", "learning_rate", "at", "accuracy",
    ]  # fmt: skip
    assert [(int(line["step"]), float(line["loss"]), line["validation_loss"], float(line["accuracy"])) for line in lines] == [
        (report["step"], report["loss"], "", report["metrics"]["accuracy"]) for report in reports
    ]


def test_reports_every_so_many_steps_stand_beside_those_of_epochs(stored_service: Service) -> None:
    service = stored_service
    job = service.job(epochs=6, batch_size=1, report_every_steps=3, diagnostics=True)
    service.work_a_little()
    service.work()
    path = f"/v1/jobs/{job}/metrics"
    reports = service.api.get(path).json["data"]
    assert [report["step"] for report in reports] == [3, 4, 6, 8, 9, 12, 15, 16, 18, 20, 21, 24]
    assert [report["step"] for report in reports if report["epoch_ended"]] == [4, 8, 12, 16, 20, 24]
    assert [report["step"] for report in reports if report["recent_loss"] is not None] == list(range(3, 25, 3))
    assert all(report["metrics"] for report in reports if report["epoch_ended"])
    assert all([layer["layer"] for layer in report["diagnostics"]["layers"]] == ["/layers/0", "/layers/1"] for report in reports)
    assert [report["step"] for report in service.api.get(f"{path}?max_points=6").json["data"]] == [3, 4, 9, 12, 21, 24]
    lines = list(csv.DictReader(io.StringIO(service.api.get(f"{path}?format=csv").get_data(as_text=True))))
    assert [float(line["/layers/1/gradient_norm"]) for line in lines] == [
        report["diagnostics"]["layers"][1]["gradient_norm"] for report in reports
    ]
    assert (lines[0]["epoch_ended"], lines[0]["recent_loss"], lines[1]["recent_loss"]) == ("False", str(reports[0]["recent_loss"]), "")
    told = [message["data"] for message in stream(service, job) if message["event"] == "metrics"]
    assert told == reports


def test_too_many_reports_are_refused_with_the_remedy(service: Service) -> None:
    response = service.api.post("/v1/jobs", json=service.spec(epochs=20_001, batch_size=4, report_every_steps=1))
    assert response.status_code == 422
    (fault,) = response.json["errors"]
    assert (fault["pointer"], fault["code"], fault["expected"]) == ("/report_every_steps", "too_many_reports", "at least 2")


def test_what_is_neither_is_not_acceptable(service: Service) -> None:
    job = service.job()
    assert service.api.get(f"/v1/jobs/{job}/metrics", headers={"Accept": "image/png"}).status_code == 406
    assert service.api.get(f"/v1/jobs/{job}/metrics?format=xml").status_code == 422
    assert service.api.get(f"/v1/jobs/{job}/metrics?format=csv").get_data(as_text=True).startswith("step,epoch,epoch_ended,loss")
