"""Reports: thinned to what a chart needs, and as CSV."""

from __future__ import annotations

import csv
import io

import pytest

from tests.service.api.conftest import Service


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
    assert list(lines[0]) == ["step", "epoch", "loss", "validation_loss", "learning_rate", "at", "accuracy"]
    assert [(int(line["step"]), float(line["loss"]), line["validation_loss"], float(line["accuracy"])) for line in lines] == [
        (report["step"], report["loss"], "", report["metrics"]["accuracy"]) for report in reports
    ]


def test_what_is_neither_is_not_acceptable(service: Service) -> None:
    job = service.job()
    assert service.api.get(f"/v1/jobs/{job}/metrics", headers={"Accept": "image/png"}).status_code == 406
    assert service.api.get(f"/v1/jobs/{job}/metrics?format=xml").status_code == 422
    assert service.api.get(f"/v1/jobs/{job}/metrics?format=csv").get_data(as_text=True).startswith("step,epoch,loss")
