"""Jobs of the kind `train`, as a slice runs them."""

from __future__ import annotations

from nncore.data import TrainingData
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table.json import read_columns
from nncore.trainer import Trainer
from worker.training import Training

SPEC = {"target": "y", "network": {"layers": [{"type": "dense", "units": 1}]}, "batch_size": 4, "seed": 1}


def training(epochs: int) -> Training:
    table = read_columns({"x": [0, 1, 2, 3], "y": [0.5, 1.5, 2.5, 3.5]})
    spec = resolve(TrainingSpec.model_validate({**SPEC, "epochs": epochs}), table.info(), table.rows, Limits())
    return Training(Trainer(spec, TrainingData.prepare(spec, table)), table)


def test_a_small_job_is_looked_up_from_by_time_and_reports_every_epoch():
    work = training(epochs=50)

    looked_up = sum(1 for _ in work.run(seconds=60))

    assert looked_up == 1
    assert work.finished
    _, metrics = work.recorder.waiting()
    assert [metric.epoch for metric in metrics] == list(range(1, 51))


def test_it_is_looked_up_from_as_often_as_that_was_asked_for():
    work = training(epochs=50)

    assert sum(1 for _ in work.run(seconds=1e-9)) >= 50
