"""Training as a whole: epochs, batches, reports, the best, divergence."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.errors import Diverged
from nncore.report import Report
from nncore.trainer import Trainer

LAYERS = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 3}]
STILL = {"type": "sgd", "learning_rate": 1e-30}
XOR = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
XOR_JOB: dict[str, Any] = {
    "inputs": ["x"],
    "target": "y",
    "network": [{"type": "dense", "units": 2, "activation": "tanh"}, {"type": "dense", "units": 1}],
    "loss": {"type": "binary_cross_entropy"},
    "optimizer": {"type": "adam", "learning_rate": 0.05},
    "batch_size": 4,
    "epochs": 500,
    "seed": 1,
}


def classify(job: Any, blobs: Any, **spec: Any) -> Trainer:
    """A trainer of the three classes of blobs."""
    return Trainer(*job(blobs, **{"inputs": ["x"], "target": "y", "network": LAYERS, "epochs": 3, "batch_size": 8, "seed": 1} | spec))


def test_xor_is_learned(job: Any) -> None:
    trainer = Trainer(*job(XOR, **XOR_JOB))
    report = list(trainer.run())[-1]
    assert report.metrics == {"accuracy": 1.0}
    assert report.loss < 0.1


def test_many_tiny_epochs_are_quick(job: Any) -> None:
    """500 epochs of one step: the loop must not cost more than the work. Ten times what it takes here."""
    job_of_500 = job(XOR, **XOR_JOB)
    list(Trainer(*job_of_500).run())
    trainer = Trainer(*job_of_500)
    assert list(trainer.run())[-1].seconds < 0.2


def test_reports_tell_every_epoch_end_and_nothing_twice(job: Any, blobs: Any) -> None:
    trainer = classify(job, blobs, validation={"fraction": 0.2})
    reports = [report for report in trainer.run() if report.epoch_ended]
    assert [(report.step, report.epoch) for report in reports] == [(5, 1), (10, 2), (15, 3)]
    assert (trainer.step, trainer.steps, trainer.epoch, trainer.epochs, trainer.fraction) == (15, 15, 3, 3, 1.0)
    assert trainer.finished
    assert list(trainer.run()) == []
    assert trainer.last_report == reports[-1]
    assert all(before.seconds < after.seconds for before, after in pairwise(reports))


def test_within_an_epoch_reports_come_as_often_as_asked(job: Any, blobs: Any) -> None:
    trainer = classify(job, blobs, batch_size=1, epochs=2)
    reports = list(trainer.run(call_seconds=1e-9))
    within = [report for report in reports if not report.epoch_ended]
    assert len(within) > 10
    assert all((report.validation_loss, report.metrics, report.is_best) == (None, {}, False) for report in within)
    assert [report.step for report in reports] == sorted({report.step for report in reports})


def test_a_run_stops_between_two_reports_and_goes_on(job: Any, blobs: Any) -> None:
    stopped, unbroken = classify(job, blobs, batch_size=1), classify(job, blobs, batch_size=1)
    next(stopped.run(call_seconds=1e-9))
    assert 0 < stopped.step < stopped.steps
    list(stopped.run())
    list(unbroken.run())
    assert checkpoint.encode(stopped.state()) == checkpoint.encode(unbroken.state())


@pytest.mark.parametrize("batch_size", [1, 7, 8, 13, 49, 50])
def test_an_epoch_visits_every_row_once_whatever_the_batch_size(batch_size: int, job: Any, blobs: Any) -> None:
    """With the parameters standing still, the epoch's loss is the mean over all rows: the partial last batch counts by its rows."""
    trainer = classify(job, blobs, batch_size=batch_size, optimizer=STILL, epochs=1, dtype="float64")
    whole = classify(job, blobs, batch_size=50, optimizer=STILL, epochs=1, dtype="float64")
    assert list(trainer.run())[-1].loss == pytest.approx(list(whole.run())[-1].loss, rel=1e-12)
    assert trainer.step == -(-50 // batch_size)


def orders(trainer: Trainer) -> list[list[int]]:
    """The order of the rows in each epoch."""
    found: dict[int, list[int]] = {}
    for report in trainer.run(call_seconds=1e-9):
        if not report.epoch_ended and trainer._orders._present is not None:
            found[report.epoch] = trainer._orders._present.tolist()
    return list(found.values())


def test_epochs_are_shuffled_differently_and_only_among_training_rows(job: Any, blobs: Any) -> None:
    trainer = classify(job, blobs, validation={"fraction": 0.3}, batch_size=1)
    first, second, third = orders(trainer)
    assert sorted(first) == sorted(second) == sorted(third) == trainer.data.training_rows.tolist()
    assert first != second != third
    assert orders(classify(job, blobs, batch_size=1, shuffle=False)) == [list(range(50))] * 3


def outputs_of(trainer: Trainer) -> np.ndarray:
    """What the present parameters make of every row, in plain numpy and float64."""
    parameters = {name: values.astype(np.float64) for name, values in trainer.artifact("last").parameters.items()}
    hidden = np.tanh(trainer.data.inputs @ parameters["0.weight"].T + parameters["0.bias"])
    return np.asarray(hidden @ parameters["2.weight"].T + parameters["2.bias"])


def test_validation_loss_and_metrics_are_of_the_held_out_rows(job: Any, blobs: Any) -> None:
    trainer = classify(job, blobs, validation={"fraction": 0.3}, dtype="float64")
    report = list(trainer.run())[-1]
    held_out, labels = outputs_of(trainer)[trainer.data.validation_rows], trainer.data.labels[trainer.data.validation_rows]
    surprise = np.log(np.exp(held_out).sum(axis=1)) - held_out[np.arange(15), labels]
    assert report.validation_loss == pytest.approx(surprise.mean(), rel=1e-12)
    assert report.metrics == {"accuracy": (held_out.argmax(axis=1) == labels).mean()}


def test_without_validation_metrics_are_of_the_training_rows(job: Any, blobs: Any) -> None:
    trainer = classify(job, blobs)
    report = list(trainer.run())[-1]
    assert report.validation_loss is None
    assert report.metrics == {"accuracy": (outputs_of(trainer).argmax(axis=1) == trainer.data.labels).mean()}


def test_more_validation_rows_than_fit_a_block_are_all_evaluated(job: Any) -> None:
    random = np.random.default_rng(0)
    columns = {"x": random.random((3000, 2)).tolist(), "z": random.random(3000).tolist()}
    network = [{"type": "dense", "units": 1}]
    trainer = Trainer(*job(columns, target="z", network=network, epochs=1, validation={"fraction": 0.9}, dtype="float64", seed=1))
    assert len(trainer.data.validation_rows) > 2 * trainer._machine.program.block_rows
    report, parameters = list(trainer.run())[-1], trainer.artifact("last").parameters
    rows = trainer.data.validation_rows
    wrong = trainer.data.inputs[rows] @ parameters["0.weight"].T + parameters["0.bias"] - trainer.data.targets[rows]
    assert report.validation_loss == pytest.approx((wrong**2).mean(), rel=1e-12)


def test_the_best_is_the_epoch_with_the_lowest_validation_loss(job: Any, blobs: Any) -> None:
    noise = {"x": np.random.default_rng(1).random((40, 4)).tolist(), "y": np.random.default_rng(2).random(40).tolist()}
    network = [{"type": "dense", "units": 30, "activation": "tanh"}, {"type": "dense", "units": 1}]  # learns the noise by heart
    fast = {"type": "adam", "learning_rate": 0.02}
    trainer = Trainer(*job(noise, target="y", network=network, optimizer=fast, validation={"fraction": 0.5}, epochs=40, seed=1))
    kept, reports = {}, []
    for report in trainer.run():
        reports.append(report)
        kept[report.epoch] = trainer.artifact("last").parameters
    losses = [report.validation_loss for report in reports]
    lowest = int(np.argmin(losses))
    assert 0 < lowest < 39  # else the example shows nothing
    assert trainer.best is not None
    assert (trainer.best.epoch, trainer.best.validation_loss) == (lowest + 1, losses[lowest])
    assert (trainer.best.step, trainer.best.loss) == (reports[lowest].step, reports[lowest].loss)
    assert [report.is_best for report in reports] == [loss < min(losses[:at], default=np.inf) for at, loss in enumerate(losses)]
    for name, values in trainer.artifact("best").parameters.items():
        np.testing.assert_array_equal(values, kept[lowest + 1][name])
    assert any((values != kept[40][name]).any() for name, values in trainer.artifact("best").parameters.items())


def test_of_equal_epochs_the_earlier_is_the_best(job: Any, blobs: Any) -> None:
    trainer = classify(job, blobs, optimizer=STILL, shuffle=False, validation={"fraction": 0.2})
    assert [report.is_best for report in trainer.run()] == [True, False, False]
    assert trainer.best is not None
    assert trainer.best.epoch == 1


def test_before_the_first_epoch_ends_the_best_is_the_last(job: Any, blobs: Any) -> None:
    trainer = classify(job, blobs, batch_size=1)
    next(trainer.run(call_seconds=1e-9))
    assert trainer.best is None
    np.testing.assert_array_equal(trainer.artifact("best").parameters["0.weight"], trainer.artifact("last").parameters["0.weight"])


def test_given_parameters_are_where_training_starts(job: Any, blobs: Any) -> None:
    given = {"type": "dense", "units": 3, "weight": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "bias": [7.0, 8.0, 9.0]}
    artifact = classify(job, blobs, network=[given]).artifact("last")
    assert artifact.parameters["0.weight"].tolist() == given["weight"]
    assert artifact.parameters["0.bias"].tolist() == given["bias"]
    assert artifact.network.layers[0].weight is None  # they would be stale after the first step


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_leaves_the_last_finite_parameters(dtype: str, job: Any, blobs: Any) -> None:
    network = [{"type": "dense", "units": 8}, {"type": "dense", "units": 8}, {"type": "dense", "units": 1}]
    wild = {"type": "sgd", "learning_rate": 1000.0}
    trainer = Trainer(*job(blobs, inputs=["x"], target="z", network=network, epochs=300, optimizer=wild, seed=1, dtype=dtype))
    before = trainer.artifact("last").parameters
    with pytest.raises(Diverged) as diverged:
        for _ in trainer.run():
            pass
    assert (diverged.value.step, diverged.value.epoch) == (trainer.step, trainer.epoch)
    assert diverged.value.what in ("loss", "gradient")
    assert "learning rate" in str(diverged.value)
    parameters = trainer.artifact("last").parameters
    assert all(np.isfinite(values).all() for values in parameters.values())
    assert any((values != before[name]).any() for name, values in parameters.items())
    with pytest.raises(Diverged):  # asking again changes nothing
        next(trainer.run())
    assert all((values == parameters[name]).all() for name, values in trainer.artifact("last").parameters.items())


def test_a_validation_loss_that_is_not_finite_is_divergence(job: Any) -> None:
    columns = {"x": [[0.0]] * 9 + [[3e38]], "z": [0.0] * 10}
    network, loss = [{"type": "dense", "units": 1}], {"type": "mean_squared_error"}
    spec, data = job(columns, target="z", network=network, loss=loss, epochs=2, seed=1, validation={"fraction": 0.1})
    data = replace(data, training_rows=np.arange(9), validation_rows=np.array([9]))
    trainer = Trainer(spec, data)
    for _ in range(2):
        with pytest.raises(Diverged) as diverged:
            list(trainer.run())
        assert (diverged.value.what, diverged.value.step, trainer.epoch) == ("validation loss", 1, 0)


def test_the_seed_decides_everything(job: Any, blobs: Any) -> None:
    spec: dict[str, Any] = {"network": [*LAYERS[:1], {"type": "dropout", "rate": 0.3}, *LAYERS[1:]], "validation": {"fraction": 0.2}}
    results = []
    for seed in (1, 1, 2):
        trainer = classify(job, blobs, **spec, seed=seed)
        list(trainer.run())
        results.append(trainer.state()["parameters"].tobytes())
    assert results[0] == results[1] != results[2]


IN_ANOTHER_PROCESS = """
import sys
from nncore import checkpoint
from nncore.data import TrainingData
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table.json import read_columns
from nncore.trainer import Trainer
import json
columns, spec = json.load(sys.stdin)
table = read_columns(columns)
resolved = resolve(TrainingSpec.model_validate(spec), table.info(), table.rows, Limits())
trainer = Trainer(resolved, TrainingData.prepare(resolved, table))
list(trainer.run())
sys.stdout.buffer.write(checkpoint.encode(trainer.state()))
"""


def test_another_process_computes_the_same_bits(job: Any, blobs: Any) -> None:
    layers = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dropout", "rate": 0.3}, {"type": "dense", "units": 3}]
    spec = {"inputs": ["x"], "target": "y", "network": {"layers": layers}, "epochs": 5, "batch_size": 8, "seed": 5}
    trainer = Trainer(*job(blobs, **spec))
    list(trainer.run())
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    there = subprocess.run(command, input=json.dumps([blobs, spec]).encode(), stdout=subprocess.PIPE, check=True, timeout=120)
    assert there.stdout == checkpoint.encode(trainer.state())


def test_a_report_for_the_record_leaves_the_seconds_out() -> None:
    report = Report(10, 2, True, 0.5, 0.25, {"accuracy": 1.0}, True, seconds=3.5)
    assert Report(**report.to_json()) == replace(report, seconds=0.0)
