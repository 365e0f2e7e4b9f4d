"""A spec of a search, and what is refused in it: every fault of the start at once, and a start from which there is no way."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from pydantic import ValidationError

from nncore.errors import Fault, InvalidSpec
from nncore.minimize import MinimizeSpec, minimize
from nncore.optimizers import Adam
from nncore.spec import faults_of


def faults(**fields: Any) -> list[Fault]:
    try:
        MinimizeSpec.model_validate(fields).resolved()
    except ValidationError as error:
        return list(faults_of(error))
    except InvalidSpec as error:
        return list(error.faults)
    return []


def test_defaults_are_written_into_the_spec() -> None:
    spec = MinimizeSpec.model_validate({"expression": "x**2", "start": {"x": 1}}).model_dump(mode="json")
    assert spec == {
        "expression": "x**2",
        "start": {"x": 1.0},
        "goal": "minimize",
        "optimizer": Adam(learning_rate=0.05).model_dump(mode="json"),
        "steps": 1000,
        "tolerance": 1e-6,
        "max_points": 1000,
    }


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"start": {"x": "1", "y": 1}}, "/start/x", "wrong_type"),
        ({"start": {"x": True, "y": 1}}, "/start/x", "wrong_type"),
        ({"start": {"x": math.nan, "y": 1}}, "/start/x", "not_finite"),
        ({"start": {"x": 1e101, "y": 1}}, "/start/x", "out_of_range"),
        ({"start": [1, 2]}, "/start", "wrong_type"),
        ({"expression": 3}, "/expression", "wrong_type"),
        ({"expression": "x +* y"}, "/expression", "invalid_expression"),
        ({"expression": "x + \ud800"}, "/expression", "invalid_expression"),
        ({"goal": "max"}, "/goal", "unknown_value"),
        ({"optimizer": {"type": "newton"}}, "/optimizer/type", "unknown_type"),
        ({"optimizer": {"type": "sgd"}}, "/optimizer/learning_rate", "missing_field"),
        ({"steps": 0}, "/steps", "out_of_range"),
        ({"steps": 1_000_001}, "/steps", "out_of_range"),
        ({"tolerance": -1e-9}, "/tolerance", "out_of_range"),
        ({"max_points": 1}, "/max_points", "out_of_range"),
        ({"max_points": 10_001}, "/max_points", "out_of_range"),
        ({"epochs": 3}, "/epochs", "unknown_field"),
        ({"start": {"x": 1}}, "/start/y", "missing_field"),
        ({"start": {"x": 1, "y": 1, "pi": 3}}, "/start/pi", "unknown_variable"),
        ({"start": {"x": 1, "y": -1}}, "/start", "undefined_at_start"),
        ({"start": {"x": 1, "y": 0}}, "/start", "undefined_at_start"),
    ],
)
def test_one_fault_is_named_where_it_is(fields: dict[str, Any], pointer: str, code: str) -> None:
    right = {"expression": "x**2 + log(y)", "start": {"x": 1, "y": 1}}
    assert not faults(**right)
    assert [(fault.pointer, fault.code) for fault in faults(**(right | fields))] == [(pointer, code)]


def test_every_variable_without_start_and_every_start_without_variable_is_named() -> None:
    found = faults(expression="width*height - depth", start={"hieght": 1, "depth": 2, "a/b": 3})
    assert [(fault.pointer, fault.code) for fault in found] == [
        ("/start/width", "missing_field"),
        ("/start/height", "missing_field"),
        ("/start/hieght", "unknown_variable"),
        ("/start/a~1b", "unknown_variable"),
    ]
    assert "at column 7 " in found[1].message
    assert 'Did you mean "height"?' in found[2].message


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("x + log(y - 3)", "log(-2.0) at column 5 has no finite value"),
        ("x/(y - 1)", "1.0 / 0.0 at column 2 has no finite value"),
        ("x + sqrt(y - 1)", "sqrt(0.0) at column 5 has no finite slope"),
        ("(x - 2)**y", "(-1.0) ** 1.0 at column 8 has no finite slope"),
        ("exp(x*1e3) - y", "exp(1000.0) at column 1 has no finite value"),
        ("x*1e100*1e100 + y", "the slope is beyond 1.34e+154"),
    ],
)
def test_a_start_from_which_there_is_no_way_says_which_operation_fails_and_where(expression: str, said: str) -> None:
    (fault,) = faults(expression=expression, start={"x": 1, "y": 1})
    assert (fault.pointer, fault.code, fault.got) == ("/start", "undefined_at_start", said)
    assert said in fault.message


def test_a_start_of_a_million_variables_is_refused_at_a_glance() -> None:
    start = {f"x{number}": "no number" for number in range(1_000_000)}
    started = time.process_time()
    (fault,) = faults(expression="x", start=start)
    assert time.process_time() - started < 0.5
    assert (fault.pointer, fault.code) == ("/start", "too_many_variables")


def test_faults_of_the_start_and_of_the_optimizer_are_named_together() -> None:
    optimizer = {"type": "sgd", "learning_rate": 0.1, "schedule": {"type": "cosine", "warmup_steps": 500}}
    found = faults(expression="x*y", start={"x": 1}, optimizer=optimizer, steps=50)
    assert [fault.pointer for fault in found] == ["/start/y", "/optimizer/schedule/warmup_steps"]


def test_the_end_of_a_schedule_is_written_in() -> None:
    optimizer = {"type": "sgd", "learning_rate": 0.1, "schedule": {"type": "cosine", "warmup_steps": 50}}
    spec = MinimizeSpec.model_validate({"expression": "x**2", "start": {"x": 1}, "optimizer": optimizer, "steps": 150}).resolved()
    assert spec.model_dump()["optimizer"]["schedule"]["steps"] == 100
    assert spec.resolved() == spec


def test_minimize_refuses_what_the_spec_refuses() -> None:
    with pytest.raises(InvalidSpec):
        minimize(MinimizeSpec(expression="x + ", start={"x": 1.0}))
