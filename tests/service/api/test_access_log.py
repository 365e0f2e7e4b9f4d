"""Every request leaves one line, by which its answer is found again."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from tests.service.api.conftest import Service


def test_a_line_says_what_was_asked_and_what_came_of_it(service: Service) -> None:
    job = service.job()
    with capture_logs() as lines:
        response = service.api.get(f"/v1/jobs/{job}/metrics?limit=3", headers={"X-Request-ID": "mine"})
        service.api.get("/nowhere/else")
    (line, other) = [line for line in lines if line["event"] == "request"]
    milliseconds = line.pop("milliseconds")
    assert 0 < milliseconds < 10_000
    assert line == {"event": "request", "log_level": "info", "method": "GET", "route": "/v1/jobs/<job_id>/metrics", "status": 200}
    assert (other["route"], other["status"]) == (None, 404)
    assert response.headers["X-Request-ID"] == "mine"


def test_a_line_says_which_job_or_dataset_it_is_about(service: Service) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        dataset = service.dataset()
        job = service.job(dataset=dataset)
        service.api.get(f"/v1/jobs/{job}/metrics")
        service.api.get(f"/v1/datasets/{dataset}")
        service.api.get(f"/v1/jobs/{'x' * 5000}")
        service.api.get("/v1/jobs")
    ids = [(line.get("job_id"), line.get("dataset_id")) for line in lines if line["event"] == "request"]
    assert ids == [(None, dataset), (job, dataset), (job, None), (None, dataset), ("x" * 60, None), (None, None)]


def test_no_line_holds_a_key(service: Service) -> None:
    with capture_logs() as lines:
        service.api.get("/v1/jobs")
        service.caller("default", []).get("/v1/jobs")
    assert "sk_" not in str(lines)
