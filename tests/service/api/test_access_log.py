"""Every request leaves one line, by which its answer is found again."""

from __future__ import annotations

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


def test_no_line_holds_a_key(service: Service) -> None:
    with capture_logs() as lines:
        service.api.get("/v1/jobs")
        service.caller("default", []).get("/v1/jobs")
    assert "sk_" not in str(lines)
