"""Learning rates as reports: which ones a training can take, and which ones its schedule will take. Nothing is kept of what they try.

    learning_rate_range  a short training whose rate grows from step to step: where the loss falls fastest, and where it explodes
    with_found_rate      a spec whose learning rate is "auto", the best of a dozen that were tried
    schedule_report      the rate of every step of a training, thinned to a number of points

Source of the range test: Smith, "Cyclical learning rates for training neural networks", 2015 (arXiv 1506.01186), section 3.3; growing
exponentially, smoothed and read off at its steepest as in fastai.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nncore.errors import Fault, InvalidSpec
from nncore.machine.machine import Machine, Rows
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.optimizers import LBFGS
from nncore.schedules import ConstantRate, ReduceOnPlateau
from nncore.spec.automatic import RATE_POINTER
from nncore.spec.resolved import Found
from nncore.streams import stream
from nncore.trainer import program_of

if TYPE_CHECKING:
    from nncore.data import TrainingData
    from nncore.spec import ResolvedSpec

SMOOTHING = 0.98
EXPLODED = 4.0
"""The test ends where the smoothed loss is so many times its least."""

FEWEST_POINTS = 10
WINDOW = 5  # steps
TRIED_RATES = tuple(float(f"{number:.2g}") for number in 10.0 ** np.arange(-5, 0.6, 0.5))
"""From 1e-5 to 3.2, two a decade."""

STEPS, FEWEST_STEPS = 100, 10
MOST_WORK = 10**12  # operations: some ten seconds
RATE_IF_NONE = 1e-6
NEARLY = 0.9  # of the way that the best rate goes
MOST_STEPS = 100_000


@dataclass(frozen=True)
class RateRange:
    """What a range test found.

    learning_rates, losses, smoothed_losses: of each step, losses before its update, smoothed by an exponential mean over about 50 steps.
    suggested: the rate at which the smoothed loss fell fastest against the logarithm of the rate; None where it never fell.
    stopped_because: "steps": all are done. "exploded": the smoothed loss was beyond four times its least. "diverged": it was not finite.
    "time": it was not to go on.
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed_losses: list[float]
    suggested: float | None
    stopped_because: Literal["steps", "exploded", "diverged", "time"]

    @property
    def too_large(self) -> float | None:
        """The first rate, beyond that of the least loss, at which the loss was higher than at the start by half; None where there was none.

        Losses are means over 5 steps here: smoothed ones come late. Where the loss was no longer finite, it is the last rate tried.
        """
        if len(self.losses) < FEWEST_POINTS:
            return None
        means = np.convolve(self.losses, np.full(WINDOW, 1 / WINDOW), mode="valid")
        rates, least = self.learning_rates[WINDOW - 1 :], int(np.argmin(means))
        beyond = np.flatnonzero(means[least:] > means[0] + abs(means[0]) / 2)
        if beyond.size:
            return rates[least + int(beyond[0])]
        return rates[-1] if self.stopped_because == "diverged" else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def learning_rate_range(
    spec: ResolvedSpec,
    data: TrainingData,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    go_on: Callable[[], bool] = lambda: True,
) -> RateRange:
    """Train from the spec's first parameters with a rate that grows by the same factor at every step, from lowest to highest.

    go_on: asked before every step.
    Batches, optimizer and loss are the spec's, its schedule is not. The same spec and data give the same report. Raises InvalidSpec for
    rates or steps that make no range, and for lbfgs, which finds the lengths of its steps by itself.
    """
    _check(spec, lowest, highest, steps)
    rates, losses, smoothed, mean, why = np.geomspace(lowest, highest, steps), list[float](), list[float](), 0.0, "steps"
    trial = _losses(Machine(program_of(spec), spec.dtype, spec.seed), spec, data, rates, None)
    for number in range(steps):
        if not go_on():
            why = "time"
            break
        if (loss := next(trial, None)) is None:
            why = "diverged"
            break
        losses.append(loss)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING ** (number + 1)))
        if number >= FEWEST_POINTS and smoothed[-1] > EXPLODED * min(smoothed):
            why = "exploded"
            break
    tried = rates[: len(losses)]
    return RateRange(tried.tolist(), losses, smoothed, _steepest(tried, np.array(smoothed)), why)  # type: ignore[arg-type]


def with_found_rate(
    spec: ResolvedSpec, data: TrainingData, learned: np.ndarray | None = None, between: Callable[[], object] = bool
) -> ResolvedSpec:
    """`spec` with a number in place of the learning rate "auto", and in `found` how it was found.

    Each of TRIED_RATES is tried for 100 steps (fewer where they are long, but 10), all from the same parameters and on the same rows, and
    judged by the mean loss of the second half of them. The smallest rate is taken that goes nine tenths of the way that the best one
    goes: a long training wants less than a short one. Decided by spec and data alone. learned: parameters and running statistics to begin
    with, in place of the first ones. between: called before every step.
    """
    work = 6 * max(spec.sizes.parameters, 1) * spec.batch_size * spec.accumulate * len(TRIED_RATES)
    steps = min(max(MOST_WORK // work, FEWEST_STEPS), STEPS)
    machine, optimizer = Machine(program_of(spec), spec.dtype, spec.seed), spec.optimizer
    judged, first = dict[float, float](), inf
    for rate in TRIED_RATES:
        losses = list[float]()
        for loss in _losses(machine, spec, data, np.full(steps, rate), learned):
            losses.append(-loss if optimizer.maximize else loss)
            between()
        if len(losses) == steps:
            judged[rate], first = float(np.mean(losses[steps // 2 :])), losses[0]
    if judged:
        enough = first - NEARLY * (first - min(judged.values()))
        best = min(rate for rate, loss in judged.items() if loss <= max(enough, min(judged.values())))
        how = f"of {len(TRIED_RATES)} rates, each tried for {steps} steps, the smallest that goes nearly as far as the best"
    else:
        best, how = RATE_IF_NONE, f"none of {len(TRIED_RATES)} rates that were tried stayed finite"
    if decay := getattr(optimizer, "weight_decay", 0.0):
        best = min(best, 1 / decay)  # a step takes no more than all of a weight
    found = [each for each in spec.found if each.pointer != RATE_POINTER] + [Found(pointer=RATE_POINTER, value=best, how=how)]
    return spec.model_copy(update={"optimizer": optimizer.model_copy(update={"learning_rate": best}), "found": found})


def _losses(machine: Machine, spec: ResolvedSpec, data: TrainingData, rates: np.ndarray, learned: np.ndarray | None) -> Iterator[float]:
    """The mean loss of the rows of each step before its update, from the first parameters on; it ends at a step that is not finite."""
    machine.initialise(stream(spec.seed, "init"))
    machine.optimizer_state[:], machine.step = 0, 0
    if learned is not None:
        machine.learned[:] = learned
    if spec.optimizer.average_decay is not None:
        machine.averages[:] = machine.parameters
    shuffle, rows = stream(spec.seed, "shuffle"), Rows.of(data.inputs, data.targets, data.labels, data.weights)
    training_rows, rows_per_step = np.ascontiguousarray(data.training_rows, dtype=np.int64), spec.batch_size * spec.accumulate
    begin, order = len(training_rows), training_rows
    for number, rate in enumerate(rates):
        if begin >= len(training_rows):
            begin, order = 0, shuffle.permutation(training_rows) if spec.shuffle else training_rows
        optimizer = spec.optimizer.model_copy(update={"learning_rate": float(rate), "schedule": ConstantRate()})
        sums = np.zeros(SUMS)
        if not machine.run_steps(optimizer.scalars(np.array([number])), sums, rows, order, begin):
            return
        begin += rows_per_step
        yield float(sums[LOSS_SUM] / sums[ROW_SUM]) if sums[ROW_SUM] else 0.0


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
