"""The classic test functions, from several starts, with the optimizers and steps that docs/minimize.md states."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nncore.minimize import MinimizeSpec, minimize

DOCUMENT = Path(__file__).parents[3] / "docs" / "minimize.md"

SPHERE = "x**2 + y**2 + z**2"
BOOTH = "(x + 2*y - 7)**2 + (2*x + y - 5)**2"
BEALE = "(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2"
HIMMELBLAU = "(x**2 + y - 11)**2 + (x + y**2 - 7)**2"
ROSENBROCK = "(1 - x)**2 + 100*(y - x**2)**2"

FOUR_VALLEYS = [(3, 2), (-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.283185991286170), (3.584428340330492, -1.848126526964404)]  # fmt: skip  # noqa: E501


class Case(NamedTuple):
    """A function, and how its minima are reached. steps: at most, from any of the starts, for a gradient norm of 1e-8."""

    name: str
    expression: str
    minima: list[tuple[float, ...]]
    optimizer: dict[str, Any]
    described: str
    starts: list[tuple[float, ...]]
    steps: int


CASES = [
    Case("sphere", SPHERE, [(0, 0, 0)], {"type": "sgd", "learning_rate": 0.1}, "sgd 0.1", [(5, -3, 1), (-100, 40, 0)], 110),
    Case("Booth", BOOTH, [(1, 3)], {"type": "sgd", "learning_rate": 0.1}, "sgd 0.1", [(-10, 10), (0, 0), (10, -10)], 110),
    Case(
        "Booth",
        BOOTH,
        [(1, 3)],
        {"type": "sgd", "learning_rate": 0.01, "momentum": 0.9},
        "sgd 0.01, momentum 0.9",
        [(-10, 10), (0, 0), (10, -10)],
        420,
    ),
    Case(
        "Beale",
        BEALE,
        [(3, 0.5)],
        {"type": "adam", "learning_rate": 0.2},
        "adam 0.2",
        [(1, 1), (0, 0), (3, 2), (2, -1), (-1, -1)],
        2700,
    ),
    Case(
        "Himmelblau",
        HIMMELBLAU,
        FOUR_VALLEYS,
        {"type": "sgd", "learning_rate": 0.01},
        "sgd 0.01",
        [(0, 0), (4, 4), (-4, 4), (-4, -4), (4, -4)],
        100,
    ),
    Case(
        "Rosenbrock",
        ROSENBROCK,
        [(1, 1)],
        {"type": "sgd", "learning_rate": 5e-4, "momentum": 0.95, "nesterov": True},
        "sgd 0.0005, momentum 0.95, nesterov",
        [(-1.2, 1), (0, 0), (2, 2), (-2, 2)],
        4000,
    ),
    Case("Rosenbrock", ROSENBROCK, [(1, 1)], {"type": "adam", "learning_rate": 0.1}, "adam 0.1", [(-1.2, 1), (2, 2), (-2, 2)], 4500),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.optimizer['type']}")
def test_the_known_minimum_is_reached_from_every_start(case: Case) -> None:
    for start in case.starts:
        spec = {"expression": case.expression, "start": dict(zip("xyz", start, strict=False)), "optimizer": case.optimizer}
        found = minimize(MinimizeSpec.model_validate(spec | {"steps": case.steps, "tolerance": 1e-8}))
        assert found.stopped_because == "converged"
        assert found.gradient_norm <= 1e-8
        assert found.value == pytest.approx(0, abs=1e-15)
        point = tuple(found.variables.values())
        assert any(point == pytest.approx(minimum, abs=1e-7) for minimum in case.minima)


def test_the_five_functions_are_all_there_and_the_document_tells_their_steps() -> None:
    assert {case.name for case in CASES} == {"sphere", "Booth", "Beale", "Himmelblau", "Rosenbrock"}
    text = DOCUMENT.read_text()
    for case in CASES:
        assert f"| {case.name} | {case.described} | {len(case.starts)} | {case.steps:,} |" in text


def test_every_valley_of_himmelblau_is_found_from_its_own_corner() -> None:
    ends = set()
    for start in [(4, 4), (-4, 4), (-4, -4), (4, -4)]:
        spec = {"expression": HIMMELBLAU, "start": dict(zip("xy", start, strict=True)), "optimizer": {"type": "sgd", "learning_rate": 0.01}}
        ends.add(tuple(round(value, 4) for value in minimize(MinimizeSpec.model_validate(spec)).variables.values()))
    assert ends == {(round(x, 4), round(y, 4)) for x, y in FOUR_VALLEYS}


def test_to_maximize_climbs_the_hill_between_the_valleys_of_himmelblau() -> None:
    spec = {"expression": HIMMELBLAU, "start": {"x": 0, "y": 0}, "goal": "maximize", "optimizer": {"type": "sgd", "learning_rate": 0.01}}
    found = minimize(MinimizeSpec.model_validate(spec))
    assert found.stopped_because == "converged"
    assert found.value == pytest.approx(181.616522, abs=1e-6)
    assert tuple(found.variables.values()) == pytest.approx((-0.270845, -0.923039), abs=1e-6)
    assert found.best.value == max(point.value for point in found.path)


def test_to_maximize_is_to_minimize_the_negative() -> None:
    common = {"start": {"x": 0.3, "y": -0.2}, "optimizer": {"type": "adam", "learning_rate": 0.1}, "steps": 200}
    up = minimize(MinimizeSpec.model_validate({"expression": "sin(x)*cos(y) - x**2", "goal": "maximize", **common}))
    down = minimize(MinimizeSpec.model_validate({"expression": "-(sin(x)*cos(y) - x**2)", **common}))
    assert up.variables == down.variables
    assert up.value == -down.value
    assert up.gradient == {name: -slope for name, slope in down.gradient.items()}
    assert (up.step, up.best.step) == (down.step, down.best.step)
