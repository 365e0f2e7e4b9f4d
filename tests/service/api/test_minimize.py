"""Minima of expressions: found, told with their path, bounded in time; what is wrong is told with its place."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.service.api.conftest import Caller, Service


def found(api: Caller, **body: Any) -> Any:
    return api.post("/v1/minimize", json=body)


def test_a_minimum_is_found_and_its_path_told(api: Caller) -> None:
    response = found(api, expression="(x - 3)**2 + (y + 1)**2", start={"x": 0, "y": 0}, max_points=10)
    assert response.status_code == 200, response.text
    assert response.json["stopped_because"] == "converged"
    assert response.json["variables"] == {"x": pytest.approx(3, abs=1e-5), "y": pytest.approx(-1, abs=1e-5)}
    path = response.json["path"]
    assert len(path) <= 10
    assert (path[0]["variables"], path[0]["value"]) == ({"x": 0.0, "y": 0.0}, 10.0)
    assert path[-1]["variables"] == response.json["variables"]
    assert response.json["spec"]["goal"] == "minimize"


def test_a_maximum_is_found(api: Caller) -> None:
    response = found(api, expression="5 - x**2", start={"x": 1}, goal="maximize")
    assert response.json["best"]["value"] == pytest.approx(5)


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({"expression": "x +* 2", "start": {"x": 1}}, "/expression", "column 4"),
        ({"expression": "x + y", "start": {"x": 1}}, "/start/y", "column 5"),
        ({"expression": "__import__('os')", "start": {"x": 1}}, "/expression", "column 1"),
        ({"expression": "log(x)", "start": {"x": -1}}, "/start", "log"),
        ({"expression": "x**2", "start": {"x": 1}, "steps": 10**9}, "/steps", "1000000"),
    ],
)
def test_a_refusal_names_the_place(api: Caller, body: dict[str, Any], pointer: str, said: str) -> None:
    response = found(api, **body)
    assert response.status_code == 422
    (error,) = response.json["errors"]
    assert (error["pointer"], said in error["message"].replace(",", "")) == (pointer, True), error


def test_a_search_that_takes_too_long_is_ended_and_says_so(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.minimize.MOST_SECONDS", 0.2)
    started = time.monotonic()
    slow = {"type": "sgd", "learning_rate": 1e-12}
    response = found(api, expression="x**2", start={"x": 1}, steps=1_000_000, optimizer=slow)
    assert response.json["stopped_because"] == "time"
    assert time.monotonic() - started < 20


def test_who_may_read_may_ask(service: Service) -> None:
    assert found(service.caller("other", ["read"]), expression="x**2", start={"x": 1}).status_code == 200
    assert found(Caller(service.app, None), expression="x**2", start={"x": 1}).status_code == 401
