"""Learning rates as reports: which ones a training can take, and which ones its schedule will take. Nothing is kept of what they try.

    learning_rate_range  a short training whose rate grows from step to step: where the loss falls fastest, and where it explodes
    schedule_report      the rate of every step of a training, thinned to a number of points

Source of the range test: Smith, "Cyclical learning rates for training neural networks", 2015 (arXiv 1506.01186), section 3.3; growing
exponentially, smoothed and read off at its steepest as in fastai.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nncore.errors import Fault, InvalidSpec
from nncore.machine.machine import Machine, Rows
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.optimizers import LBFGS
from nncore.schedules import Constant, ReduceOnPlateau
from nncore.streams import stream
from nncore.trainer import program_of

if TYPE_CHECKING:
    from nncore.data import TrainingData
    from nncore.spec import ResolvedSpec

SMOOTHING = 0.98
EXPLODED = 4.0
"""The test ends where the smoothed loss is so many times its least."""

FEWEST_POINTS = 10
MOST_STEPS = 100_000


@dataclass(frozen=True)
class RateRange:
    """What a range test found.

    learning_rates, losses, smoothed_losses: of each step, losses before its update, smoothed by an exponential mean over about 50 steps.
    suggested: the rate at which the smoothed loss fell fastest against the logarithm of the rate; None where it never fell.
    stopped_because: "steps": all are done. "exploded": the smoothed loss was beyond four times its least. "diverged": it was not finite.
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed_losses: list[float]
    suggested: float | None
    stopped_because: Literal["steps", "exploded", "diverged"]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def learning_rate_range(
    spec: ResolvedSpec, data: TrainingData, *, lowest: float = 1e-7, highest: float = 10.0, steps: int = 100
) -> RateRange:
    """Train from the spec's first parameters with a rate that grows by the same factor at every step, from lowest to highest.

    Batches, optimizer and loss are the spec's, its schedule is not. The same spec and data give the same report. Raises InvalidSpec for
    rates or steps that make no range, and for lbfgs, which finds the lengths of its steps by itself.
    """
    _check(spec, lowest, highest, steps)
    machine = Machine(program_of(spec), spec.dtype, spec.seed)
    machine.initialise(stream(spec.seed, "init"))
    shuffle, rows = stream(spec.seed, "shuffle"), Rows.of(data.inputs, data.targets, data.labels, data.weights)
    training_rows, rows_per_step = np.ascontiguousarray(data.training_rows, dtype=np.int64), spec.batch_size * spec.accumulate
    rates, losses, smoothed = np.geomspace(lowest, highest, steps), [], []
    mean, begin, order, why = 0.0, len(training_rows), training_rows, "steps"
    for number, rate in enumerate(rates):
        if begin >= len(training_rows):
            begin, order = 0, shuffle.permutation(training_rows) if spec.shuffle else training_rows
        optimizer = spec.optimizer.model_copy(update={"learning_rate": float(rate), "schedule": Constant()})
        sums = np.zeros(SUMS)
        if not machine.run_steps(optimizer.scalars(np.array([number])), sums, rows, order, begin):
            why = "diverged"
            break
        begin += rows_per_step
        losses.append(float(sums[LOSS_SUM] / sums[ROW_SUM]) if sums[ROW_SUM] else 0.0)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * losses[-1]
        smoothed.append(mean / (1 - SMOOTHING ** (number + 1)))
        if number >= FEWEST_POINTS and smoothed[-1] > EXPLODED * min(smoothed):
            why = "exploded"
            break
    tried = rates[: len(losses)]
    return RateRange(tried.tolist(), losses, smoothed, _steepest(tried, np.array(smoothed)), why)  # type: ignore[arg-type]


def _steepest(rates: np.ndarray, smoothed: np.ndarray) -> float | None:
    """The rate at which the smoothed loss falls fastest. The first tenth is left out: a mean of few losses is no mean."""
    first = len(rates) // 10
    if len(rates) - first < FEWEST_POINTS:
        return None
    slopes = np.gradient(smoothed, np.log(rates))[first:]
    return float(rates[first + int(np.argmin(slopes))]) if slopes.min() < 0 else None


def _check(spec: ResolvedSpec, lowest: float, highest: float, steps: int) -> None:
    faults = []
    if isinstance(spec.optimizer, LBFGS):
        message = "lbfgs finds the length of every step by itself, so there is no range to test; take another optimizer"
        faults.append(Fault("/optimizer/type", "no_rate_to_test", message, got='"lbfgs"'))
    if not 0 < lowest < highest <= 1e6:
        message = f"a range goes from a rate above 0 to a higher one, at most 1e6; got {lowest:g} to {highest:g}"
        faults.append(Fault("/lowest", "no_range", message, "0 < lowest < highest <= 1e6", f"{lowest:g} to {highest:g}"))
    if not FEWEST_POINTS <= steps <= MOST_STEPS:
        message = f"a range test takes {FEWEST_POINTS} to {MOST_STEPS:,} steps; got {steps:,}"
        faults.append(Fault("/steps", "out_of_range", message, f"{FEWEST_POINTS} to {MOST_STEPS:,}", f"{steps:,}"))
    if faults:
        raise InvalidSpec(faults)


def schedule_report(spec: ResolvedSpec, points: int = 500) -> dict[str, Any]:
    """The learning rate along a training: {"steps", "epochs", "learning_rates": lists of at most `points`, "follows_losses": bool}.

    steps are counted from 0, the first and the last are told; epochs: how many of them had passed. follows_losses: the rates may fall
    below these, by how the losses go (reduce_on_plateau); the reports of a trainer tell them then.
    """
    steps = np.unique(np.linspace(0, spec.sizes.steps - 1, min(max(points, 2), spec.sizes.steps)).round().astype(np.int64))
    return {
        "steps": steps.tolist(),
        "epochs": (steps / spec.sizes.steps_per_epoch).tolist(),
        "learning_rates": spec.optimizer.learning_rates(steps).tolist(),
        "follows_losses": isinstance(spec.optimizer.schedule, ReduceOnPlateau),
    }
