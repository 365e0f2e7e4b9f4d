"""Training: epochs of shuffled batches, reports between compiled calls, a state that continues bit for bit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nncore.artifact import Artifact, artifact_of
from nncore.checkpoint import State, about, in_use, is_start, spec_digest, to_bytes_array
from nncore.diagnostics import Diagnostics
from nncore.epoch_evaluation import EpochEvaluation
from nncore.errors import CheckpointMismatch, Diverged
from nncore.full_batch import FullBatchSearch
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.optimizers import LBFGS
from nncore.orders import Orders
from nncore.report import Best, Report
from nncore.schedules import Plateau, ReduceOnPlateau
from nncore.step_reports import StepReports
from nncore.streams import stream

if TYPE_CHECKING:
    from nncore.data import TrainingData
    from nncore.spec import ResolvedSpec

SCALAR_STEPS = 4096
"""The optimizer's scalars are computed for so many steps at a time, from multiples of it on: no cutting of calls changes a bit."""


def program_of(spec: ResolvedSpec) -> Program:
    """The plans of a training job: its memory, its parameters and its kernels are known from them before anything runs."""
    return Program(
        spec.network,
        spec.input_shape,
        loss=spec.loss,
        optimizer=spec.optimizer,
        batch_size=spec.batch_size,
        accumulate=spec.accumulate,
        weighted=spec.sample_weight is not None,
        augment=spec.augment,
    )


class Trainer:
    """Trains one network on one set of data. The seed decides everything that is drawn.

    An epoch visits every training row once, in batches of `batch_size`; the last batch takes what is left, and its loss is the mean
    over its own rows. A step is made of `accumulate` batches, or of those that are left. After each epoch the validation rows are
    evaluated, in blocks. Where the optimizer averages the parameters, the averages are evaluated, called the best, and saved.
    """

    def __init__(self, spec: ResolvedSpec, data: TrainingData) -> None:
        self.spec, self.data = spec, data
        self._machine = Machine(program_of(spec), spec.dtype, spec.seed)
        self._machine.initialise(stream(spec.seed, "init"))
        self._averaging = spec.optimizer.average_decay is not None
        if self._averaging:
            self._machine.averages[:] = self._machine.parameters
        self._aside = np.empty_like(self._machine.parameters if self._averaging else self._machine.parameters[:0])
        self._rows = Rows.of(data.inputs, data.targets, data.labels, data.weights)
        self._training_rows = np.ascontiguousarray(data.training_rows, dtype=np.int64)
        self._rows_per_step = spec.batch_size * spec.accumulate
        self._steps_per_epoch = -(-len(self._training_rows) // self._rows_per_step)
        self._epoch, self._sums = 0, np.zeros(SUMS)
        self._step_reports = StepReports(spec.report_every_steps)
        self._orders = Orders(spec.seed, self._training_rows, shuffled=spec.shuffle)
        self._scalars, self._rates, self._scalars_from = np.empty((0, 1)), np.empty(0), -1
        self._plateau = Plateau()  # stands still under every schedule but reduce_on_plateau
        self._follows_plateau = isinstance(spec.optimizer.schedule, ReduceOnPlateau)
        self._steps_per_call, self._seconds = 1, 0.0
        self._last: Report | None = None
        self._best: Report | None = None
        self._search: FullBatchSearch | None = None
        if isinstance(spec.optimizer, LBFGS):
            self._search = FullBatchSearch(self._machine, spec.optimizer, self._rows, self._training_rows)
        self._improved: tuple[int, float] | None = None  # the last epoch that was better by more than min_delta, and its loss
        self._best_parameters = np.empty_like(self._machine.learned)
        self._evaluation = EpochEvaluation(self._machine, self._rows, spec, data)
        self._diagnostics: Diagnostics | None = None
        self._diagnosed: dict[str, Any] | None = None  # of the last step that was told of
        if spec.diagnostics:
            judged = data.validation_rows if self._evaluation.held_out else self._training_rows
            self._diagnostics = Diagnostics(self._machine, self._rows, np.ascontiguousarray(judged, dtype=np.int64))

    @property
    def step(self) -> int:
        """Updates applied."""
        return self._machine.step

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return self._steps_per_epoch * self.epochs

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self._epoch

    @property
    def epochs(self) -> int:
        """Epochs of the whole training."""
        return self.spec.epochs

    @property
    def finished(self) -> bool:
        """Whether training has ended."""
        return self.stopped_because is not None

    @property
    def stopped_because(self) -> Literal["epochs", "early_stopping", "converged", "time_budget"] | None:
        """Why training has ended; None while it goes on.

        epochs: all of them are completed. early_stopping: the last ones were no better. converged: lbfgs found nothing lower.
        time_budget: max_seconds are used up. With the last two an epoch whose steps are all done is evaluated first.
        """
        if self._epoch >= self.epochs:
            return "epochs"
        early, most = self.spec.early_stopping, self.spec.max_seconds
        if early and self._improved and self._epoch - self._improved[0] >= early.patience:
            return "early_stopping"
        if self._search and self._search.converged and not self._all_steps_done():
            return "converged"
        return "time_budget" if most is not None and self._seconds >= most and not self._all_steps_done() else None

    @property
    def fraction(self) -> float:
        """Which part of the steps is done; 1 when training has ended early."""
        return 1.0 if self.finished else self.step / self.steps

    @property
    def last_report(self) -> Report | None:
        """The report of the last epoch end, here or before the state was taken; None before the first."""
        return self._last

    @property
    def best(self) -> Best | None:
        """The best epoch end so far; None before the first."""
        if self._best is None:
            return None
        report = self._best
        return Best(report.step, report.epoch, report.loss, report.validation_loss, dict(report.metrics), self._best_parameters.copy())

    def artifact(self, which: Literal["best", "last"] = "best") -> Artifact:
        """The network with its best or its present parameters. Without a best yet, the present ones."""
        vector = self._best_parameters
        if which == "last" or self._best is None:
            vector = in_use(self.spec, self._machine.learned, self._machine.optimizer_state)
        return artifact_of(self.spec, self.data.preprocessing, vector, self.data.target_preprocessing)

    # Running

    def run(self, call_seconds: float = 0.2) -> Iterator[Report]:
        """Train until all epochs are completed, or it stops early; a report about every `call_seconds`, and at every epoch end.

        Where the spec asks for reports every n steps, there is one at each of those, too.

        Stop by not asking for another report; call it again to go on. Where it was interrupted changes no bit of what comes out.
        Raises Diverged when loss or gradient leave the finite numbers; the parameters from before that step stay.
        """
        while not self.finished:
            yield self._advance(call_seconds)

    def _advance(self, call_seconds: float) -> Report:
        """Run until the epoch ends, with its evaluation, or the time is up."""
        started = now = time.perf_counter()
        if self.spec.max_seconds is not None:
            call_seconds = min(call_seconds, self.spec.max_seconds - self._seconds)
        left, step, epoch_ends_at = call_seconds, self.step, (self._epoch + 1) * self._steps_per_epoch
        while step != epoch_ends_at:
            done = self._run_steps(step)
            before, now, step = now, time.perf_counter(), step + done
            left = call_seconds - (now - started)
            if left <= 0 or self._step_reports.due(step):
                break
            fitting = int(left * done / max(now - before, 1e-9))
            self._steps_per_call = max(1, min(fitting, self._steps_per_call * 8))
        ended = step == epoch_ends_at and self._evaluate(left)
        self._seconds += time.perf_counter() - started
        if ended:
            return self._end_epoch()
        report = Report(step, self._epoch, False, self._loss(), seconds=self._seconds, learning_rate=self._learning_rate())
        if self._step_reports.due(step) and not self._all_steps_done():
            return replace(report, recent_loss=self._step_reports.take(self._sums), diagnostics=self._diagnosed)
        return report

    def _evaluate(self, seconds: float) -> bool:
        """Evaluate for about so long; whether it is done. Averages stand in the place of the parameters meanwhile."""
        if not self._averaging:
            return self._evaluation.advance(seconds)
        self._aside[:] = self._machine.parameters
        self._machine.parameters[:] = self._machine.averages
        try:
            return self._evaluation.advance(seconds)
        finally:
            self._machine.parameters[:] = self._aside

    def _all_steps_done(self) -> bool:
        """Whether only the evaluation of the epoch is left."""
        return self.step == (self._epoch + 1) * self._steps_per_epoch

    def _loss(self) -> float:
        """The mean loss of the rows seen in the epoch."""
        return float(self._sums[LOSS_SUM] / self._sums[ROW_SUM]) if self._sums[ROW_SUM] else 0.0  # every row was ignored

    def _learning_rate(self) -> float | None:
        """That of the last update; None before the first."""
        last = self.step - 1
        if self._scalars_from >= 0 and 0 <= last - self._scalars_from < SCALAR_STEPS:
            return float(self._rates[last - self._scalars_from])
        return float(self.spec.optimizer.learning_rates(np.array([last]), self._plateau.factor)[0]) if self.step else None

    def _run_steps(self, step: int) -> int:
        """One compiled call, within the epoch, or one step of a search; how many steps it ran. step: updates applied before."""
        if self._search is not None:
            if self._diagnostics:
                self._diagnostics.before(self.spec.optimizer.scalars(np.arange(1)), self._training_rows, 0)
            if not self._search.step(self._sums):
                raise Diverged(self.step, self._epoch, self._machine.verdict)
            if self._diagnostics:
                self._diagnosed = self._diagnostics.after()
            return 1
        in_epoch, block = step - self._epoch * self._steps_per_epoch, step - step % SCALAR_STEPS
        if block != self._scalars_from:
            steps = np.arange(block, block + SCALAR_STEPS)
            optimizer, factor = self.spec.optimizer, self._plateau.factor
            self._scalars, self._rates, self._scalars_from = (
                optimizer.scalars(steps, factor),
                optimizer.learning_rates(steps, factor),
                block,
            )
        until_report = self._step_reports.steps_left(step, self._steps_per_epoch - in_epoch)
        count = min(self._steps_per_call, until_report, SCALAR_STEPS - (step - block))
        begin, told = in_epoch * self._rows_per_step, self._diagnostics is not None and until_report == 1
        if self._diagnostics and not told:  # the step that is told runs by itself
            count = min(count, until_report - 1)
        scalars = self._scalars[step - block : step - block + count]
        if self._diagnostics and told:
            self._diagnostics.before(scalars, self._orders.present(), begin)
        done = self._machine.run_steps(scalars, self._sums, self._rows, self._orders.present(), begin)
        if done < count:
            raise Diverged(self.step, self._epoch, self._machine.verdict)
        if self._diagnostics and told:
            self._diagnosed = self._diagnostics.after()
        return count

    def _end_epoch(self) -> Report:
        """Judge the epoch, keep the parameters if they are the best, and make ready for the next. All that is on the clock, too."""
        started = time.perf_counter()
        loss, validation_loss = self._loss(), self._evaluation.validation_loss
        if validation_loss is not None and not isfinite(validation_loss):
            self._evaluation.restart()
            raise Diverged(self.step, self._epoch, "validation loss")
        judged = loss if validation_loss is None else validation_loss
        is_best = self._best is None or self._is_better(judged, self._best.judged_by)
        metrics, tables, rate = self._evaluation.metrics(), self._evaluation.tables(), self._learning_rate()
        recent_loss = self._step_reports.take(self._sums) if self._step_reports.due(self.step) else None
        self._step_reports.end_epoch(self._sums)
        self._epoch += 1
        self._begin_epoch()
        self._follow_plateau(judged)
        least = self.spec.early_stopping.min_delta if self.spec.early_stopping else 0.0
        if self._improved is None or self._is_better(judged, self._improved[1], by=least):
            self._improved = self._epoch, judged
        if is_best:
            self._best_parameters[:] = self._machine.learned
            if self._averaging:
                self._best_parameters[: self._machine.averages.size] = self._machine.averages
        self._seconds += time.perf_counter() - started
        told = (metrics, is_best, self._seconds, rate, tables, recent_loss, self._diagnosed)
        report = self._last = Report(self.step, self._epoch, True, loss, validation_loss, *told)
        if is_best:
            self._best = report
        return report

    def _is_better(self, loss: float, known: float, by: float = 0.0) -> bool:
        """By more than `by`."""
        return loss > known + by if self.spec.optimizer.maximize else loss < known - by

    def _follow_plateau(self, judged: float) -> None:
        schedule = self.spec.optimizer.schedule
        if self._follows_plateau and isinstance(schedule, ReduceOnPlateau):  # pydantic's isinstance takes a microsecond
            before, self._plateau = self._plateau, schedule.after_epoch(self._plateau, judged, growing=self.spec.optimizer.maximize)
            if self._plateau.factor != before.factor:
                self._scalars_from = -1

    def _begin_epoch(self) -> None:
        self._sums[:] = 0
        self._evaluation.restart()
        self._orders.end_epoch()

    # State

    def state(self) -> State:
        """Everything needed to continue bit for bit, as copies; see nncore/checkpoint.py for its parts."""
        machine, more = self._machine, {}
        if self._best is not None:
            more["best_parameters"] = self._best_parameters.copy()
        if isinstance(self.spec.optimizer.schedule, ReduceOnPlateau):
            more["plateau"] = np.array(self._plateau)
        if self._search is not None:
            more["search"] = self._search.numbers.copy()
        if self.spec.max_seconds is not None:
            more["seconds"] = np.array([self._seconds])
        if self.spec.report_every_steps is not None:
            more["since"] = self._step_reports.since.copy()
        content = {
            "last": self._last and self._last.to_json(),
            "best": self._best and self._best.to_json(),
            "improved": self._improved,
            "preprocessing": self.data.preprocessing,
            "target_preprocessing": self.data.target_preprocessing,
            **({"diagnosed": self._diagnosed} if self._diagnosed else {}),
        }
        return {
            "parameters": machine.learned.copy(),
            "optimizer": machine.optimizer_state.copy(),
            "position": np.array([self.step, self._epoch], dtype=np.int64),
            "shuffle": self._orders.state(),
            "sums": self._sums.copy(),
            "spec": self._digest(),
            "about": to_bytes_array(content),
            **more,
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken, bit for bit; of a start take the parameters, before the first step.

        Raises CheckpointMismatch, and changes nothing, when it belongs to another run, or its parameters are not as many.
        """
        if is_start(state):
            self._begin_with(state["parameters"])
            return
        content = about(state)
        self._refuse_a_foreign(state, has_best=content["best"] is not None)
        self._last, self._best = (None if content[name] is None else Report(**content[name]) for name in ("last", "best"))
        improved = content.get("improved") or (self._best and (self._best.epoch, self._best.judged_by))
        self._improved = (int(improved[0]), float(improved[1])) if improved else None
        self._diagnosed = content.get("diagnosed") if self._diagnostics else None
        self._machine.learned[:] = state["parameters"]
        self._machine.optimizer_state[:] = state["optimizer"]
        if self._best is not None:
            self._best_parameters[:] = state["best_parameters"]
        if self._search is not None:
            self._search.numbers[:] = state["search"]
        if self.spec.max_seconds is not None:
            self._seconds = float(state["seconds"][0]) if "seconds" in state else 0.0
        self._plateau, self._scalars_from = Plateau(*map(float, state.get("plateau", Plateau()))), -1
        self._machine.step, self._epoch = (int(number) for number in state["position"])
        self._begin_epoch()
        self._orders.restore(state["shuffle"], begun=self._search is None and self.step > self._epoch * self._steps_per_epoch)
        self._sums[:] = state["sums"]
        self._step_reports.since[:] = state.get("since", 0.0)

    def _begin_with(self, learned: np.ndarray) -> None:
        own = self._machine.learned
        if learned.shape != own.shape:
            raise CheckpointMismatch(f"expected {len(own):,} parameters to begin with, got {len(learned):,}; use those of the same network")
        own[:] = learned
        if self._averaging:
            self._machine.averages[:] = self._machine.parameters

    def _refuse_a_foreign(self, state: Mapping[str, np.ndarray], has_best: bool) -> None:
        own = self.state() | {"best_parameters": self._best_parameters}
        if not has_best:
            del own["best_parameters"]
        own.pop("seconds", None)  # of a run that had all the time
        own.pop("since", None)  # of one that reported epochs only
        for name in sorted(own):
            if name not in state:
                raise CheckpointMismatch(f"the state has no {name}; use another checkpoint")
            if name != "about" and (state[name].shape, state[name].dtype) != (own[name].shape, own[name].dtype):
                raise CheckpointMismatch(
                    f"{name} of the state does not fit the spec: expected {own[name].shape} of {own[name].dtype}, "
                    f"got {state[name].shape} of {state[name].dtype}; use the spec it was taken with"
                )
        if state["spec"].tobytes() != own["spec"].tobytes():
            raise CheckpointMismatch("the state belongs to another spec or other data; use those it was taken with")

    def _digest(self) -> np.ndarray:
        return spec_digest(self.spec, len(self._training_rows), len(self.data.validation_rows))
