"""What a job's best parameters are worth, through the API."""

from __future__ import annotations

import pytest

from service.store.models import Snapshot
from tests.service.api.conftest import Service
from worker import training

TABLE = {
    "columns": {
        "x": [row * 7 % 13 for row in range(40)],
        "flat": [1] * 40,
        "who": [f"p{row // 4}" for row in range(40)],
        "y": ["door" if row * 7 % 13 < 6 else "window" for row in range(40)],
    }
}


def job(service: Service) -> str:
    network = {"layers": [{"type": "dense", "units": 2}]}
    dataset = service.dataset(TABLE)
    return service.job(dataset=dataset, network=network, loss=None, epochs=3, group="who", validation={"fraction": 0.3})


def test_an_ended_job_says_what_it_is_worth(stored_service: Service) -> None:
    made = job(stored_service)
    link = stored_service.api.get(f"/v1/jobs/{made}").json["links"]["assessment"]
    early = stored_service.api.get(link)
    assert (early.status_code, early.json["code"]) == (409, "no_assessment")
    stored_service.work()
    found = stored_service.api.get(link).json
    (part,) = found["parts"]
    split = stored_service.api.get(f"/v1/jobs/{made}/split").json["validation_rows"]
    assert (part["of"], part["score"]["rows"]) == ("validation", len(split))
    assert {group["value"] for group in part["groups"]} == {TABLE["columns"]["who"][row] for row in split}
    assert {influence["column"] for influence in found["influences"]} == {"x", "flat"}
    result = stored_service.api.get(f"/v1/jobs/{made}").json["result"]
    assert part["score"]["loss"] == pytest.approx(result["best"]["validation_loss"])
    assert {"giveaway_column", "constant_column"} <= {finding["code"] for finding in result["findings"]}
    assert all(finding in found["findings"] and finding["remedy"] for finding in result["findings"])
    assert stored_service.api.delete(f"/v1/jobs/{made}").status_code == 200


def test_findings_that_were_kept_without_a_remedy_are_shown(service: Service) -> None:
    made = job(service)
    service.work()
    old = {"code": "constant_column", "severity": "warning", "message": "flat is always 1"}
    with service.store.write() as session:
        for snapshot in session.query(Snapshot).filter_by(job_id=made):
            snapshot.values = {**snapshot.values, "findings": [old]}
    (finding,) = service.api.get(f"/v1/jobs/{made}").json["result"]["findings"]
    assert finding == {**old, "remedy": None, "columns": [], "rows": [], "count": 0}


def test_a_cancelled_job_is_not_assessed(service: Service) -> None:
    made = job(service)
    service.api.post(f"/v1/jobs/{made}/cancel")
    assert service.api.get(f"/v1/jobs/{made}/assessment").status_code == 409


def test_a_job_is_worth_more_than_its_assessment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(training, "assess", fails)
    made = job(service)
    service.work()
    assert service.api.get(f"/v1/jobs/{made}").json["state"] == "succeeded"
    assert service.api.get(f"/v1/jobs/{made}/assessment").status_code == 409
