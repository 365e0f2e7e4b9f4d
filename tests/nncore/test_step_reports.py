"""Reports every so many steps: where they are, and what their loss is the mean of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.trainer import Trainer

FIELDS: dict[str, Any] = {
    "inputs": ["x"],
    "target": "y",
    "network": [{"type": "dense", "units": 3}],
    "batch_size": 8,
    "epochs": 3,
    "seed": 1,
}


def test_the_loss_is_the_mean_of_the_steps_since_the_report_before_across_epochs(job: Any, blobs: Any) -> None:
    every_step = [report for report in Trainer(*job(blobs, **FIELDS, report_every_steps=1)).run() if report.recent_loss is not None]
    rows = [8, 8, 8, 8, 8, 8, 2] * 3  # of 50, the last batch takes what is left
    assert [report.step for report in every_step] == list(range(1, 22))
    reports = [report for report in Trainer(*job(blobs, **FIELDS, report_every_steps=5)).run() if report.recent_loss is not None]
    assert [(report.step, report.epoch, report.epoch_ended) for report in reports] == [
        (5, 0, False),
        (10, 1, False),
        (15, 2, False),
        (20, 2, False),
    ]
    for report in reports:
        window = slice(report.step - 5, report.step)
        expected = np.average([each.recent_loss for each in every_step[window]], weights=rows[window])
        assert report.recent_loss == pytest.approx(expected, rel=1e-12)
    ends = [report for report in every_step if report.epoch_ended]
    assert ends[0].loss == pytest.approx(np.average([each.recent_loss for each in every_step[:7]], weights=rows[:7]), rel=1e-12)


def test_an_epoch_end_that_is_due_too_is_one_report(job: Any, blobs: Any) -> None:
    reports = list(Trainer(*job(blobs, **FIELDS, report_every_steps=7)).run(call_seconds=10.0))
    assert [(report.step, report.epoch_ended, report.recent_loss is not None) for report in reports] == [
        (7, True, True),
        (14, True, True),
        (21, True, True),
    ]
    assert [report.recent_loss for report in reports] == [pytest.approx(report.loss, rel=1e-12) for report in reports]


def test_a_run_that_reported_epochs_only_goes_on_with_reports_of_steps(job: Any, blobs: Any) -> None:
    plain, asked, unbroken = (Trainer(*job(blobs, **FIELDS, **more)) for more in ({}, {"report_every_steps": 7}, {}))
    plain._steps_per_call = 3
    next(plain.run(call_seconds=0))
    asked.restore(checkpoint.decode(checkpoint.encode(plain.state())))
    assert [report.step for report in asked.run() if report.recent_loss is not None] == [7, 14, 21]
    list(unbroken.run())
    assert asked.state()["parameters"].tobytes() == unbroken.state()["parameters"].tobytes()
