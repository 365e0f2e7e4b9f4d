"""reduce_on_plateau: the rates are those of PyTorch's ReduceLROnPlateau, and a training follows its own losses by it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.errors import InvalidSpec
from nncore.minimize import MinimizeSpec
from nncore.schedules import Plateau, ReduceOnPlateau
from nncore.trainer import Trainer

# Fields, and those of torch.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({"patience": 3}, {"patience": 3}),
    "at-once": ({"patience": 0, "factor": 0.5}, {"patience": 0, "factor": 0.5}),
    "absolute": (
        {"patience": 1, "threshold": 0.3, "threshold_mode": "absolute"},
        {"patience": 1, "threshold": 0.3, "threshold_mode": "abs"},
    ),
    "cooldown": ({"patience": 1, "cooldown": 4, "threshold": 0.1}, {"patience": 1, "cooldown": 4, "threshold": 0.1}),
    "final": ({"patience": 0, "factor": 0.3, "final": 0.02}, {"patience": 0, "factor": 0.3, "min_lr": 0.02 * 0.2}),
}


def losses() -> list[float]:
    """They fall, stand still, rise and fall again."""
    random = np.random.default_rng(3)
    return (2 + np.cos(np.arange(80) / 9) + 0.3 * random.standard_normal(80)).tolist()


@pytest.mark.oracle
@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_rates_are_those_of_torch(name: str, growing: bool) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    fields, settings = CASES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max" if growing else "min", eps=0, **settings)
    schedule, plateau, rates, expected = ReduceOnPlateau(**fields), Plateau(), [], []
    for loss in losses():
        plateau = schedule.after_epoch(plateau, loss, growing=growing)
        scheduler.step(loss)
        rates.append(0.2 * plateau.factor)
        expected.append(optimizer.param_groups[0]["lr"])
    assert len(set(rates)) > 2
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


SCHEDULE: dict[str, Any] = {"type": "reduce_on_plateau", "patience": 1, "factor": 0.25, "threshold": 0.05}


def trainer(job: Any, blobs: Any, **more: Any) -> Trainer:
    network = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 3}]
    optimizer = {"type": "adamw", "learning_rate": 0.3, "weight_decay": 0.1, "schedule": SCHEDULE}
    spec = {"inputs": ["x"], "target": "y", "network": network, "optimizer": optimizer, "batch_size": 8, "epochs": 25, "seed": 1}
    return Trainer(*job(blobs, **spec | more))


@pytest.mark.parametrize("validation", [None, {"fraction": 0.3}])
def test_the_rate_of_an_epoch_follows_from_the_losses_before(validation: Any, job: Any, blobs: Any) -> None:
    schedule, plateau = ReduceOnPlateau.model_validate(SCHEDULE), Plateau()
    reports = [report for report in trainer(job, blobs, validation=validation).run() if report.epoch_ended]
    for report in reports:
        assert report.learning_rate == pytest.approx(0.3 * plateau.factor, rel=1e-15)
        plateau = schedule.after_epoch(plateau, report.judged_by)
    assert len({report.learning_rate for report in reports}) > 2


def test_the_updates_are_made_with_the_rate_in_force(job: Any, blobs: Any) -> None:
    """Under SGD a step moves by rate times gradient: of one batch per epoch, the moves tell the rate."""
    optimizer = {
        "type": "sgd",
        "learning_rate": 1.0,
        "schedule": {**SCHEDULE, "patience": 0, "threshold": 1.0, "threshold_mode": "absolute"},
    }
    falling = trainer(job, blobs, optimizer=optimizer, batch_size=50, epochs=6, dtype="float64")
    path, slopes = [falling._machine.parameters.copy()], []
    for _ in falling.run():
        path.append(falling._machine.parameters.copy())
        slopes.append(falling._machine.gradients.copy())
    rates = [(before - after) @ slope / (slope @ slope) for (before, after), slope in zip(pairwise(path), slopes, strict=True)]
    np.testing.assert_allclose(rates, [1, 1, 0.25, 0.25**2, 0.25**3, 0.25**4], rtol=1e-9)


def test_a_resumed_run_remembers_its_plateau(job: Any, blobs: Any) -> None:
    unbroken, broken, resumed = (trainer(job, blobs) for _ in range(3))
    expected = [report.to_json() for report in unbroken.run() if report.epoch_ended]
    for report in broken.run(call_seconds=0):
        if report.learning_rate is not None and report.learning_rate < 0.3 and report.step % 7 == 4:
            break
    assert 0 < broken.step < broken.steps
    resumed.restore(checkpoint.decode(checkpoint.encode(broken.state())))
    assert [report.to_json() for report in resumed.run() if report.epoch_ended] == expected[broken.epoch :]
    assert checkpoint.encode(resumed.state()) == checkpoint.encode(unbroken.state())


def test_where_there_are_no_epochs_it_is_refused() -> None:
    spec = MinimizeSpec.model_validate(
        {"expression": "x**2", "start": {"x": 1.0}, "optimizer": {"type": "adam", "schedule": {"type": "reduce_on_plateau"}}}
    )
    with pytest.raises(InvalidSpec, match="judges epochs") as refused:
        spec.resolved()
    assert [fault.pointer for fault in refused.value.faults] == ["/optimizer/schedule/type"]
