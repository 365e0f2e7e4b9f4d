"""Early stopping: training ends when it gets no better, the best is kept, and a resumed run ends where the unbroken one does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore import checkpoint
from nncore.spec import EarlyStopping
from nncore.trainer import Trainer


def overfitting(job: Any, **more: Any) -> Trainer:
    """Labels of pure chance, learned by heart: the validation loss soon rises."""
    random = np.random.default_rng(2)
    columns = {"x": random.standard_normal((40, 6)).tolist(), "y": random.integers(0, 2, 40).tolist()}
    network = [{"type": "dense", "units": 20, "activation": "tanh"}, {"type": "dense", "units": 2}]
    spec = {"target": "y", "network": network, "optimizer": {"type": "adam", "learning_rate": 0.03}, "validation": {"fraction": 0.4}}
    return Trainer(*job(columns, **spec, batch_size=8, epochs=40, seed=1, **more))


def ends(trainer: Trainer) -> list[Any]:
    return [report for report in trainer.run() if report.epoch_ended]


@pytest.mark.parametrize("patience", [1, 3, 7])
def test_training_ends_when_so_many_epochs_were_no_better(patience: int, job: Any) -> None:
    everything, trainer = ends(overfitting(job)), overfitting(job, early_stopping={"patience": patience})
    reports = ends(trainer)
    losses = [report.validation_loss for report in everything]
    waits = [epoch - int(np.argmin(losses[:epoch])) - 1 for epoch in range(1, 41)]
    assert len(reports) == waits.index(patience) + 1 < 40
    assert [report.to_json() for report in reports] == [report.to_json() for report in everything[: len(reports)]]
    assert (trainer.finished, trainer.stopped_because, trainer.fraction) == (True, "early_stopping", 1.0)
    assert list(trainer.run()) == []


def test_the_best_parameters_are_what_is_left(job: Any) -> None:
    trainer = overfitting(job, early_stopping={"patience": 4})
    parameters = {}
    for report in trainer.run():
        if report.epoch_ended:
            parameters[report.epoch] = trainer.artifact("last").parameters
    assert trainer.best is not None
    assert trainer.best.epoch == trainer.epoch - 4
    for name, values in trainer.artifact("best").parameters.items():
        assert values.tobytes() == parameters[trainer.best.epoch][name].tobytes()
        assert values.tobytes() != parameters[trainer.epoch][name].tobytes()


@pytest.mark.parametrize("min_delta", [0.0, 0.02])
@pytest.mark.parametrize("cut_at", [1, 2, 5])
def test_a_resumed_run_waits_no_longer_than_the_unbroken_one(cut_at: int, min_delta: float, job: Any) -> None:
    unbroken, broken, resumed = (overfitting(job, early_stopping={"patience": 5, "min_delta": min_delta}) for _ in range(3))
    ends(unbroken)
    for report in broken.run():
        if unbroken.epoch - report.epoch <= cut_at and report.epoch_ended:
            break
    resumed.restore(checkpoint.decode(checkpoint.encode(broken.state())))
    assert not resumed.finished
    ends(resumed)
    assert checkpoint.encode(resumed.state()) == checkpoint.encode(unbroken.state())


def test_more_patience_goes_on_with_the_same_run(job: Any) -> None:
    hasty, patient, unbroken = (overfitting(job, early_stopping={"patience": patience}) for patience in (1, 6, 6))
    ends(hasty)
    ends(unbroken)
    patient.restore(hasty.state())
    assert not patient.finished
    ends(patient)
    assert checkpoint.encode(patient.state()) == checkpoint.encode(unbroken.state())


@pytest.mark.parametrize("min_delta", [0.001, 0.02, 0.1])
def test_a_gain_within_min_delta_ends_no_waiting(min_delta: float, job: Any) -> None:
    """As Keras counts: better is less than the last better one by more than min_delta."""
    everything = [report.validation_loss for report in ends(overfitting(job))]
    trainer = overfitting(job, early_stopping={"patience": 3, "min_delta": min_delta})
    reports, best, wait = ends(trainer), np.inf, 0
    for loss in everything[: len(reports)]:
        assert wait < 3
        wait += 1
        if loss < best - min_delta:
            best, wait = loss, 0
    assert wait == 3
    assert len(reports) < 40
    assert trainer.best is not None
    assert trainer.best.validation_loss == min(everything[: len(reports)])  # the best is the best nevertheless


@pytest.mark.parametrize("min_delta", [-0.1, float("inf"), "0"])
def test_a_min_delta_that_is_no_distance_is_refused(min_delta: Any) -> None:
    with pytest.raises(ValidationError):
        EarlyStopping(min_delta=min_delta)


def test_without_it_all_epochs_are_run(job: Any) -> None:
    trainer = overfitting(job)
    assert len(ends(trainer)) == 40
    assert trainer.stopped_because == "epochs"


@pytest.mark.parametrize("patience", [0, -1, 1.5, "3"])
def test_a_patience_that_is_no_number_of_epochs_is_refused(patience: Any) -> None:
    with pytest.raises(ValidationError):
        EarlyStopping(patience=patience)
