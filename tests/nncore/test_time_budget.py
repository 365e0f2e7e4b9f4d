"""max_seconds: training ends soon after them, and a resumed run has only what was left."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.epoch_evaluation import EpochEvaluation
from nncore.spec import TrainingSpec
from nncore.trainer import Trainer


def endless(job: Any, blobs: Any, **more: Any) -> Trainer:
    network = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 3}]
    spec = {"inputs": ["x"], "target": "y", "network": network, "batch_size": 8, "epochs": 1_000_000, "seed": 1}
    return Trainer(*job(blobs, **spec | more))


def test_training_ends_soon_after_its_seconds(job: Any, blobs: Any) -> None:
    trainer = endless(job, blobs, max_seconds=0.3)
    started = time.perf_counter()
    reports = list(trainer.run(call_seconds=10.0))
    assert 0.3 <= time.perf_counter() - started < 3
    assert (trainer.finished, trainer.stopped_because, trainer.fraction) == (True, "time_budget", 1.0)
    assert reports[-1].seconds >= 0.3
    assert 0 < trainer.epoch < 1_000_000
    assert list(trainer.run()) == []


def test_what_an_epoch_is_judged_by_is_on_the_clock(job: Any, blobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: EpochEvaluation) -> dict[str, float]:
        time.sleep(0.02)
        return {}

    monkeypatch.setattr(EpochEvaluation, "metrics", slow)
    trainer = endless(job, blobs, batch_size=50, max_seconds=0.2)
    reports = list(trainer.run())
    assert 0 < trainer.epoch <= 10  # of 20 ms and a little more
    assert reports[0].seconds > 0.02


def test_a_resumed_run_gets_no_more_than_was_left(job: Any, blobs: Any) -> None:
    broken, resumed, spent = (endless(job, blobs, max_seconds=1e6) for _ in range(3))
    used = next(report.seconds for report in broken.run() if report.seconds > 0.02)
    state = checkpoint.decode(checkpoint.encode(broken.state()))
    assert state["seconds"] == [used]
    resumed.restore(state)
    assert next(resumed.run()).seconds > used
    spent.restore(state | {"seconds": np.array([1e6])})
    assert spent.stopped_because == "time_budget"
    assert list(spent.run()) == []


def test_more_time_goes_on_with_the_same_run(job: Any, blobs: Any) -> None:
    hasty, patient, unbroken = (endless(job, blobs, epochs=40, **more) for more in ({"max_seconds": 1e-9}, {}, {}))
    next(hasty.run())
    assert hasty.stopped_because == "time_budget"
    patient.restore(hasty.state())
    list(patient.run())
    list(unbroken.run())
    assert checkpoint.encode(patient.state()) == checkpoint.encode(unbroken.state())
    budgeted = endless(job, blobs, epochs=40, max_seconds=100.0)
    budgeted.restore(unbroken.state())  # of a run without a budget
    assert budgeted.stopped_because == "epochs"


def test_an_epoch_whose_steps_are_done_is_evaluated_first(job: Any, blobs: Any) -> None:
    trainer = endless(job, blobs, batch_size=35, validation={"fraction": 0.3}, max_seconds=1e-9)
    reports = list(trainer.run())
    assert [report.epoch_ended for report in reports] == [True]
    assert reports[0].validation_loss is not None
    assert trainer.stopped_because == "time_budget"


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), "3"])
def test_what_is_no_length_of_time_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="max_seconds"):
        TrainingSpec.model_validate({"network": {"layers": [{"type": "flatten"}]}, "target": "y", "max_seconds": seconds})
