"""nncore: the compiled loop, a call of it about 0.05 s long."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from contestants.cases import RATES, Case
from nncore.data import TrainingData
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table import Column, Table
from nncore.trainer import Trainer


def steps(case: Case, dtype: str) -> Iterator[int]:
    """Trains; yields how many steps were done since the number before."""
    trainer, before = _trainer(case, *case.data(dtype), dtype), 0
    for report in trainer.run(call_seconds=0.05):
        yield report.step - before
        before = report.step


def epochs(case: Case, inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray) -> Iterator[np.ndarray]:
    """Trains; yields after every epoch the labels it gives to `test_inputs`."""
    from nncore.predictor import Predictor

    trainer = _trainer(case, inputs, labels, inputs.dtype.name)
    for report in trainer.run():
        if report.epoch_ended:
            yield Predictor(trainer.artifact("last")).predict({"x": test_inputs}).labels


def _trainer(case: Case, inputs: np.ndarray, labels: np.ndarray, dtype: str) -> Trainer:
    spec = TrainingSpec.model_validate(
        {
            "inputs": ["x"],
            "target": "y",
            "network": {"layers": case.layers},
            "optimizer": {"type": case.optimizer, "learning_rate": RATES[case.optimizer]},
            "batch_size": case.batch_size,
            "epochs": 10_000_000,
            "seed": 0,
            "dtype": dtype,
            "metrics": [],
        }
    )
    table = Table([Column("x", inputs), Column("y", labels)])
    resolved = resolve(spec, table.info(), len(inputs), Limits(max_epochs=10**9, max_steps=10**12))
    return Trainer(resolved, TrainingData.prepare(resolved, table))
