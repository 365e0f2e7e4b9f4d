"""A large evaluation can be interrupted, and how it is cut changes no bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import checkpoint
from nncore.trainer import Trainer


def trainer_of_many_rows(job: Any) -> Trainer:
    random = np.random.default_rng(0)
    columns = {"x": random.random((5000, 2)).tolist(), "y": random.integers(0, 3, 5000).tolist()}
    network = [{"type": "dense", "units": 3}]
    spec: dict[str, Any] = {"target": "y", "epochs": 2, "batch_size": 250, "validation": {"fraction": 0.9}, "seed": 1}
    return Trainer(*job(columns, network=network, **spec))


def test_reports_come_between_the_blocks_of_an_evaluation(job: Any) -> None:
    trainer = trainer_of_many_rows(job)
    assert len(trainer.data.validation_rows) > 4 * trainer._machine.program.block_rows
    reports = list(trainer.run(call_seconds=0))
    waiting = [report for report in reports if report.step == 2 and not report.epoch_ended]
    assert len(waiting) >= 4
    assert {report.loss for report in waiting} == {next(report.loss for report in reports if report.epoch_ended)}


def test_a_run_stopped_within_an_evaluation_ends_as_the_unbroken_one(job: Any) -> None:
    unbroken, stopped = trainer_of_many_rows(job), trainer_of_many_rows(job)
    reports = [report.to_json() for report in unbroken.run() if report.epoch_ended]
    for report in stopped.run(call_seconds=0):
        if report.step == 2:  # the evaluation has begun
            break
    resumed = trainer_of_many_rows(job)
    resumed.restore(stopped.state())
    for trainer, call_seconds in ((resumed, 10.0), (stopped, 0.0)):
        ends = [report.to_json() for report in trainer.run(call_seconds) if report.epoch_ended]
        assert ends == reports
        assert checkpoint.encode(trainer.state()) == checkpoint.encode(unbroken.state())
