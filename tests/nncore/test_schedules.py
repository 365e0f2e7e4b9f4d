"""Schedules: their formulas, PyTorch's schedulers, and what the resolved spec says of them."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.errors import InvalidSpec
from nncore.schedules import Schedule, ScheduleSpec

STEPS = 50
BY_LOSSES = {"reduce_on_plateau"}  # goes by the losses, not by the step: tests/nncore/test_plateau.py

# Fields, and the equal scheduler of torch, stepped once per update.
CASES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "constant": ({"type": "constant"}, "ConstantLR", {"factor": 1.0}),
    "step": ({"type": "step", "every_steps": 7, "factor": 0.5}, "StepLR", {"step_size": 7, "gamma": 0.5}),
    "exponential": ({"type": "exponential", "factor": 0.93}, "ExponentialLR", {"gamma": 0.93}),
    "cosine": ({"type": "cosine", "final": 0.1, "steps": STEPS}, "CosineAnnealingLR", {"T_max": STEPS, "eta_min": 0.02}),
    "one_cycle": ({"type": "one_cycle", "steps": STEPS}, "OneCycleLR", {"total_steps": STEPS, "max_lr": 0.2}),
    "one_cycle-early": (
        {"type": "one_cycle", "steps": STEPS, "rising": 0.1, "start_divisor": 5.0, "final_divisor": 50.0},
        "OneCycleLR",
        {"total_steps": STEPS, "max_lr": 0.2, "pct_start": 0.1, "div_factor": 5.0, "final_div_factor": 50.0},
    ),
}


def schedule(fields: dict[str, Any]) -> Schedule:
    found: Schedule = TypeAdapter(ScheduleSpec).validate_python(fields)
    return found


def test_every_schedule_is_compared_with_torch() -> None:
    assert {fields["type"] for fields, _, _ in CASES.values()} | BY_LOSSES == {
        each.model_fields["type"].default for each in get_args(get_args(ScheduleSpec)[0])
    }


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_the_rates_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    fields, kind, settings = CASES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler, rates = getattr(torch.optim.lr_scheduler, kind)(optimizer, **settings), []
    for number in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if number < STEPS - 1:
            scheduler.step()
    np.testing.assert_allclose(0.2 * schedule(fields).factors(np.arange(STEPS)), rates, rtol=1e-12, atol=1e-16)


@pytest.mark.oracle
def test_a_warm_up_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    schedulers = torch.optim.lr_scheduler
    optimizer, rates = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2), []
    warm_up, after = schedulers.LinearLR(optimizer, 1 / 8, total_iters=7), schedulers.ExponentialLR(optimizer, 0.9)
    for number in range(30):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        (warm_up if number < 7 else after).step() if number != 7 else None
    found = schedule({"type": "exponential", "factor": 0.9, "warmup_steps": 8}).factors(np.arange(30))
    np.testing.assert_allclose(0.2 * found, rates, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_a_warm_up_grows_evenly_to_the_first_rate_and_delays_the_rest(name: str) -> None:
    fields = CASES[name][0]
    plain, warm = schedule(fields).factors(np.arange(40)), schedule(fields | {"warmup_steps": 10}).factors(np.arange(50))
    np.testing.assert_array_equal(warm[10:], plain)
    np.testing.assert_allclose(warm[:10], plain[0] * np.arange(1, 11) / 10, rtol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_a_rate_depends_on_its_step_alone(name: str) -> None:
    found = schedule(CASES[name][0] | {"warmup_steps": 5})
    at_once = found.factors(np.arange(200))
    np.testing.assert_allclose([found.factors(np.array([step]))[0] for step in range(200)], at_once, rtol=1e-15)
    assert np.isfinite(at_once).all()
    assert (at_once >= 0).all()


def test_cosine_and_one_cycle_stay_at_their_end() -> None:
    assert schedule({"type": "cosine", "steps": 10, "final": 0.25}).factors(np.arange(10, 30)) == pytest.approx(np.full(20, 0.25))
    assert schedule({"type": "one_cycle", "steps": 10}).factors(np.arange(10, 30)) == pytest.approx(np.full(20, 1 / 25 / 1e4))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_trainings_have_finite_rates(steps: int) -> None:
    for name in ("cosine", "one_cycle"):
        assert np.isfinite(schedule({"type": name}).resolved(steps).factors(np.arange(steps + 2))).all()


def test_the_end_of_the_training_is_written_into_the_resolved_spec(job: Any, blobs: dict[str, Any]) -> None:
    network = [{"type": "dense", "units": 3}]
    optimizer = {"type": "adam", "schedule": {"type": "cosine", "warmup_steps": 3}}
    resolved, _ = job(blobs, inputs=["x"], target="y", network=network, optimizer=optimizer, batch_size=8, epochs=4)
    assert resolved.sizes.steps == 28
    assert resolved.optimizer.schedule.model_dump() == {"type": "cosine", "warmup_steps": 3, "steps": 25, "final": 0.0}


def test_a_warm_up_longer_than_the_training_is_refused_where_it_is_written(job: Any, blobs: dict[str, Any]) -> None:
    optimizer = {"type": "adam", "schedule": {"type": "constant", "warmup_steps": 29}}
    with pytest.raises(InvalidSpec, match="28 steps of the training") as refused:
        job(blobs, inputs=["x"], target="y", network=[{"type": "dense", "units": 3}], optimizer=optimizer, batch_size=8, epochs=4)
    assert [fault.pointer for fault in refused.value.faults] == ["/optimizer/schedule/warmup_steps"]
