"""A moment of a training, on some of its rows: how fast it goes, whether it goes astray, and whether its gradients are right."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import isfinite

import numpy as np

from nncore.auto import AUTO
from nncore.data import Fitted, TrainingData
from nncore.errors import Diverged
from nncore.explain import gradient_check
from nncore.learning_rates import RateRange, learning_rate_range
from nncore.machine import warm
from nncore.optimizers import LBFGS
from nncore.spec.resolved import ResolvedSpec
from nncore.table import Table
from nncore.trainer import Trainer, program_of

RATE_IF_AUTO = 1e-3  # to measure how fast it goes
LOWEST_RATE = 1e-5  # of the range test
CHECKED_ROWS = 8
CHECKED_NUMBERS = 5  # of each parameter
MOST_CHECKED_WORK = 100_000_000  # parameters times evaluations: more takes too long


@dataclass(frozen=True)
class Rehearsal:
    """What was seen. Of these rows only: the whole has others, and is preprocessed by all of them.

    rows, steps: that were trained on, and updates made. steps_per_second: None where nothing was applied. first_loss, last_loss: of the
    first update, and of the last rows. diverged: loss or gradient left the finite numbers. largest_input: absolute, preprocessed.
    rates: a short range test, as far as it came in its time; None for lbfgs, and where the rate is still to be found.
    gradient_error: relative, between back-propagation and differences of the loss; None where the network is too large to check here.
    """

    rows: int
    steps: int
    steps_per_second: float | None
    first_loss: float | None
    last_loss: float | None
    diverged: bool
    largest_input: float
    gradient_error: float | None
    rates: RateRange | None = None


def rehearse(spec: ResolvedSpec, sample: Table, kept: Fitted | None = None, seconds: float = 0.3) -> Rehearsal:
    """Train on the rows of `sample` for about so long, from the beginning. Kernels are compiled or loaded before.

    kept: preprocessing that the job keeps instead of fitting its own.
    Raises InvalidData where the sample is too small a part of the data to be preprocessed.
    """
    sizes = spec.sizes.model_copy(update={"rows": sample.rows, "training_rows": sample.rows, "validation_rows": 0, "test_rows": 0})
    batch_size = min(spec.batch_size, sample.rows)
    accumulate = min(spec.accumulate, -(-sample.rows // batch_size))
    endless = {"early_stopping": None, "max_seconds": None, "epochs": 10**9, "report_every_steps": None, "diagnostics": False}
    whole = dict.fromkeys(("validation", "test", "fold", "group", "split_column"))
    part = spec.model_copy(update={"sizes": sizes, **endless, **whole, "batch_size": batch_size, "accumulate": accumulate})
    if spec.optimizer.learning_rate == AUTO:
        part = part.model_copy(update={"optimizer": part.optimizer.model_copy(update={"learning_rate": RATE_IF_AUTO})})
    data = TrainingData.prepare(part, sample, kept)
    warm(part.dtype, program_of(part).kernels())
    trainer, losses, diverged = Trainer(part, data), [], False
    rate = None
    try:
        losses.append(next(trainer.run(0)).loss)
        started, step = time.perf_counter(), trainer.step
        for report in trainer.run(seconds / 4):
            losses.append(report.loss)
            if (passed := time.perf_counter() - started) >= seconds:
                break
        rate = (trainer.step - step) / passed
    except Diverged:
        diverged = True
    first, last = (losses[at] if losses and isfinite(losses[at]) else None for at in (0, -1))
    largest = float(np.abs(data.inputs).max(initial=0.0))
    rates = None
    if spec.optimizer.learning_rate != AUTO and not isinstance(spec.optimizer, LBFGS):
        ends_at = time.perf_counter() + seconds
        rates = learning_rate_range(part, data, lowest=LOWEST_RATE, go_on=lambda: time.perf_counter() < ends_at)
    return Rehearsal(sample.rows, trainer.step, rate, first, last, diverged, largest, _gradient_error(spec, data), rates)


def _gradient_error(spec: ResolvedSpec, data: TrainingData) -> float | None:
    shapes = spec.network.parameters(spec.input_shape)
    if spec.sizes.parameters * len(shapes) * 2 * CHECKED_NUMBERS > MOST_CHECKED_WORK:
        return None
    expected = data.targets if data.labels is None else data.labels
    assert expected is not None
    rows = slice(CHECKED_ROWS)
    try:
        report = gradient_check(spec.network, spec.loss, data.inputs[rows], expected[rows], most_of_each=CHECKED_NUMBERS, seed=spec.seed)
    except ArithmeticError:
        return None
    return report.relative_error if isfinite(report.relative_error) else None
