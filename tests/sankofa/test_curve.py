"""Curves: what they hold, how they are drawn, and how a watched one is kept up to date."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from rich.console import Console

from sankofa import InvalidInput, curve
from sankofa.curve import PLOTLY, Curve, Watched
from sankofa.jobs import Job
from sankofa.plot import chart, short
from tests.sankofa.fake_service import Answer, FakeService, job_document


def report(epoch: int, **values: Any) -> dict[str, Any]:
    return {"step": 10 * epoch, "epoch": epoch, "loss": 2 / epoch, "validation_loss": None, "metrics": {}, **values}


LEARNED = [report(epoch, validation_loss=2 / epoch + 0.1, metrics={"accuracy": 1 - 1 / epoch, "table": [[1]]}) for epoch in range(1, 61)]


def page(reports: list[dict[str, Any]]) -> Answer:
    return Answer(200, {"data": reports, "next_cursor": None})


def test_a_job_gives_its_curve_as_columns() -> None:
    service = FakeService(Answer(200, job_document()), page([report(1, metrics={"accuracy": 0.5}), report(2)]))
    found = service.client().job("job_1").curve(max_points=50)
    assert service.requests[1].query == {"max_points": "50"}
    assert found.columns() == {
        "step": [10, 20],
        "epoch": [1, 2],
        "loss": [2.0, 1.0],
        "validation_loss": [None, None],
        "accuracy": [0.5, None],
    }
    assert len(found) == 2


def test_printed_it_is_drawn_within_80_columns_with_its_last_numbers() -> None:
    lines = str(Curve.of(LEARNED)).splitlines()
    assert max(map(len, lines)) < 80
    assert len(lines) == curve.CHART_HEIGHT + 2
    assert "loss 0.0333" in lines[-1]
    assert "validation 0.1333" in lines[-1]
    assert "accuracy 0.9833" in lines[-1]
    assert "table" not in lines[-1]
    assert lines[0].split()[0] == "2.1000"
    assert {"1", "60", "log"} <= set(lines[-2].split())


@pytest.mark.parametrize("width", [20, 40, 71, 80, 200])
def test_it_is_as_wide_as_the_terminal_and_no_wider(width: int) -> None:
    file = io.StringIO()
    Console(file=file, width=width).print(Curve.of(LEARNED))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == (curve.CHART_HEIGHT + 2) * (1 if width >= 2 * curve.LEAST_BESIDE else 2)


def test_a_falling_line_falls() -> None:
    rows = [row.plain for row in chart({"loss": [(x, 10.0 - x) for x in range(11)]}, 40, 5)]
    marked = [min(at for at, letter in enumerate(row) if "\u2800" < letter < "\u2900") for row in rows[:5]]
    assert marked == sorted(marked)
    assert marked[0] == 9
    assert marked[-1] > 30


@pytest.mark.parametrize("values", [[], [math.nan], [1.0], [0.0, 0.0], [1.0, math.inf, 2.0], [-5.0, 1e9], [1e-30, 1e30]])
def test_whatever_numbers_there_are_something_is_drawn(values: list[float]) -> None:
    reports = [report(epoch, loss=value) for epoch, value in enumerate(values, 1)]
    assert str(Curve.of(reports))
    drawable = any(math.isfinite(value) for value in values)
    assert ("nothing to draw yet" in str(Curve.of(reports))) == (not drawable)
    json.dumps(Curve.of(reports).bundle(), allow_nan=False)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(1, "1"), (0.5, "0.5000"), (123.456789, "123.456"), (0.0001234, "1.2e-04"), (45678.9, "45679"), (-0.25, "-0.2500")],
)
def test_a_number_is_short(number: float, shown: str) -> None:
    assert short(number) == shown


def test_a_bundle_is_a_chart_that_plotly_takes_and_the_drawing_for_those_without_it() -> None:
    found = Curve.of(LEARNED)
    bundle = found.bundle("epoch 60/60")
    assert bundle["text/plain"] == f"epoch 60/60\n{found}"
    names = {line["name"]: (line["xaxis"], line["yaxis"], len(line["x"])) for line in bundle[PLOTLY]["data"]}
    assert names == {"loss": ("x", "y", 60), "validation": ("x", "y", 60), "accuracy": ("x2", "y2", 60)}
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="no plotly")
    figure = graph_objects.Figure(bundle[PLOTLY])  # refuses what it does not know
    assert figure.layout.title.text == "epoch 60/60"
    assert found.figure().data[0].y[-1] == pytest.approx(2 / 60)


def test_where_an_epoch_reports_several_times_steps_are_drawn_along() -> None:
    bundle = Curve.of([report(1), report(1, step=15)]).bundle()[PLOTLY]
    assert bundle["data"][0]["x"] == [10, 15]
    assert bundle["layout"]["xaxis"]["title"]["text"] == "step"


def test_without_plotly_a_figure_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly.graph_objects", None)
    with pytest.raises(InvalidInput, match=r"pip install 'sankofa\[notebook\]'"):
        Curve.of(LEARNED).figure()


def watched_at(service: FakeService, step: int, state: str = "running") -> Job:
    return Job(service.connection(), job_document(state, progress={"fraction": 0.5, "epoch": step // 10, "step": step}))


def test_a_watched_curve_fetches_what_is_new_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("sankofa.curve.time.monotonic", lambda: now)
    service, watched = FakeService(page(LEARNED[:2]), page(LEARNED[2:5]), page(LEARNED[5:])), Watched()
    assert not watched.update(watched_at(service, 0))
    assert watched.update(watched_at(service, 20))
    now = 0.1
    assert not watched.update(watched_at(service, 30)), "too soon"
    now = 1.0
    assert not watched.update(watched_at(service, 20)), "nothing new"
    assert watched.update(watched_at(service, 50))
    assert watched.update(watched_at(service, 600, "succeeded")), "the end is never too soon"
    assert [request.query["after_step"] for request in service.requests] == ["-1", "20", "50"]
    assert watched.curve == Curve.of(LEARNED)


def test_a_watched_curve_of_many_reports_keeps_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "MOST_POINTS", 10)
    service, watched = FakeService(page(LEARNED)), Watched()
    watched.update(watched_at(service, 600, "succeeded"))
    assert (watched.curve.epoch[0], watched.curve.epoch[-1]) == (1, 60)
    assert len(watched.curve) < 35
