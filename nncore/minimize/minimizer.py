"""The search itself: step by step against the gradient, reports between them, a state that continues bit for bit."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from nncore.checkpoint import _without_defaults
from nncore.errors import CheckpointMismatch
from nncore.minimize.path import Path, PathPoint
from nncore.minimize.spec import MinimizeSpec
from nncore.minimize.tokens import LARGEST_NUMBER
from nncore.minimize.update import Update
from nncore.optimizers import LBFGS
from nncore.optimizers.lbfgs import Search

StopReason = Literal["converged", "steps", "diverged"]

STEPS_PER_LOOK = 50  # at the clock: some hundreds of microseconds


_OPEN_TO_CHANGE = ("steps", "tolerance")
"""Fields of a spec that decide when the search ends, not how it goes."""


@dataclass(frozen=True, slots=True)
class MinimizeReport:
    """Where the search stands. step: updates applied. seconds: in this minimizer; not part of its state."""

    step: int
    value: float
    gradient_norm: float
    seconds: float


@dataclass(frozen=True, slots=True)
class MinimizeResult:
    """Where the search ended, or stands.

    stopped_because: "converged": the gradient is within the tolerance, or lbfgs found nothing lower. "steps": all of them are done.
    "diverged": the next point would have had no finite value or gradient, or lbfgs ran away (see _ran_away); everything here is of the
    last point. None while the search goes on.
    step: updates that led to this point. gradient: of the expression, whatever the goal. best: the lowest (or highest) point of all, the
    earliest of equals. path: at most max_points, with the first and the last.
    """

    stopped_because: StopReason | None
    step: int
    value: float
    variables: dict[str, float]
    gradient: dict[str, float]
    gradient_norm: float
    best: PathPoint
    path: tuple[PathPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as dicts and lists."""
        return {**asdict(self), "path": [asdict(point) for point in self.path]}


class Minimizer:
    """Goes from the start of a spec to where it ends. Nothing in it is drawn: the same spec goes the same way.

    spec: with everything written in (see MinimizeSpec.resolved). Raises InvalidSpec with all that is wrong with it.
    """

    def __init__(self, spec: MinimizeSpec) -> None:
        self.spec = spec.resolved()
        self._tape, self._point, evaluation = spec.objective()
        self._value, self._gradient = evaluation
        self._sign = 1.0 if spec.goal == "minimize" else -1.0
        self._update = Update(self.spec.optimizer, self._tape.variables)
        self._update.parameters[:] = self._point
        self._search: Search | None = None
        self._numbers = np.zeros(0)
        if isinstance(self.spec.optimizer, LBFGS):
            self._numbers = self.spec.optimizer.search_numbers()
            memory = self._update.optimizer_state.reshape(2 * self.spec.optimizer.history + 1, -1)[:, : len(self._point)]
            self._search = Search(self.spec.optimizer, memory, self._numbers)
        self._path = Path(self._tape.variables, spec.max_points)
        self._path.add(0, self._value, self._point)
        self._best = (0, self._value, self._point)
        self._step, self._diverged, self._seconds = 0, False, 0.0

    @property
    def step(self) -> int:
        """Updates applied."""
        return self._step

    @property
    def steps(self) -> int:
        """Updates at most."""
        return self.spec.steps

    @property
    def fraction(self) -> float:
        """Which part of the steps is done; 1 when the search has ended early."""
        return 1.0 if self.finished else self._step / self.steps

    @property
    def finished(self) -> bool:
        """Whether the search has ended."""
        return self.stopped_because is not None

    @property
    def stopped_because(self) -> StopReason | None:
        """Why the search has ended; None while it goes on."""
        if self._diverged:
            return "diverged"
        if math.hypot(*self._gradient) <= self.spec.tolerance or (self._search and self._search.converged):
            return "converged"
        return "steps" if self._step >= self.steps else None

    def run(self, call_seconds: float = 0.2) -> Iterator[MinimizeReport]:
        """Go on until the search ends; a report about every `call_seconds`, and one at the end.

        Stop by not asking for another report; call it again to go on. Where it was interrupted changes no bit of what comes out.
        """
        while not self.finished:
            started = time.perf_counter()
            self._go(started + call_seconds)
            self._seconds += time.perf_counter() - started
            yield MinimizeReport(self._step, self._value, math.hypot(*self._gradient), self._seconds)

    def result(self) -> MinimizeResult:
        """Where the search ended, or stands."""
        return MinimizeResult(
            self.stopped_because,
            self._step,
            self._value,
            dict(zip(self._tape.variables, self._point, strict=True)),
            dict(zip(self._tape.variables, self._gradient, strict=True)),
            math.hypot(*self._gradient),
            self._path.point_of(*self._best),
            self._path.points(),
        )

    def _go(self, deadline: float) -> None:
        with np.errstate(all="ignore"):  # interpreted kernels would warn where compiled ones do not
            while not self.finished:
                for _ in range(STEPS_PER_LOOK):
                    self._advance()
                    if self.finished:
                        return
                if time.perf_counter() >= deadline:
                    return

    def _advance(self) -> None:
        """One update; where nothing finite is behind it, the search ends, and its last point stays."""
        update = self._update
        if self._search is not None:
            self._search.begin(update.parameters, self._look)
            self._search.advance(update.parameters, self._look)
            if self._search.converged and self._ran_away(self._search):
                self._diverged = True
                return
        else:
            update.gradients[:] = self._gradient if self._sign > 0 else [-slope for slope in self._gradient]
            update.apply(self._step)
        point: list[float] = update.parameters.tolist()
        evaluation = self._tape.evaluate(point)
        if evaluation is None:
            self._diverged = True
            return
        self._point, (self._value, self._gradient) = point, evaluation
        self._step += 1
        self._path.add(self._step, self._value, point)
        if self._sign * self._value < self._sign * self._best[1]:
            self._best = (self._step, self._value, point)

    def _ran_away(self, search: Search) -> bool:
        """Whether a search that found nothing lower stands on no minimum, but at the end of the numbers.

        It is still steep there, and numbers are larger than an expression may hold, or the plain step along the slope leads to nothing
        finite, or is lost in the rounding of variables where the slope never changed.
        """
        if max(map(abs, self._gradient)) <= search.steepest_minimum:
            return False
        point = np.array(self._point)
        ahead = point - self._sign * np.array(self._gradient)
        if max(abs(self._value), *map(abs, self._point)) > LARGEST_NUMBER or self._tape.evaluate(ahead.tolist()) is None:
            return True
        return not search.bent and np.array_equal(ahead, point)

    def _look(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """What a line search makes small, with its penalty, and its gradient."""
        l2, evaluation = self.spec.optimizer.l2, self._tape.evaluate(point.tolist())
        if evaluation is None:
            return math.inf, np.zeros(len(point))
        value, gradient = evaluation
        return self._sign * value + l2 / 2 * float(point @ point), self._sign * np.array(gradient) + l2 * point

    # To go on elsewhere

    def state(self) -> dict[str, np.ndarray]:
        """Everything that is needed to go on bit for bit, as arrays (see nncore.checkpoint for their bytes).

        parameters (variables,), optimizer (n,), position (2,) int64: updates, and whether it diverged; best_step (1,) int64,
        best_value (1,), best_parameters (variables,); search (n,): empty but under lbfgs; path_steps, path_values, path_points: see
        Path.state; spec (32,) uint8: a digest of what the state belongs to.
        """
        return {
            "parameters": np.array(self._point),
            "optimizer": self._update.optimizer_state.copy(),
            "position": np.array([self._step, int(self._diverged)], dtype=np.int64),
            "best_step": np.array([self._best[0]], dtype=np.int64),
            "best_value": np.array([self._best[1]]),
            "best_parameters": np.array(self._best[2]),
            "spec": self._digest(),
            "search": self._numbers.copy(),
            **self._path.state(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from where `state` was taken. Raises CheckpointMismatch when it belongs to another spec, or lacks something.

        The spec may differ in when the search ends: with more steps, one that had used up its steps goes on.
        """
        missing = sorted(self.state().keys() - state.keys())
        if missing:
            raise CheckpointMismatch(f"the state lacks {', '.join(missing)}; use the whole state of a minimizer")
        if not np.array_equal(state["spec"], self._digest()):
            raise CheckpointMismatch(
                "the state belongs to another expression, start, goal, optimizer or max_points; use the spec it came from"
            )
        point: list[float] = state["parameters"].tolist()
        evaluation = self._tape.evaluate(point)
        if evaluation is None:
            raise CheckpointMismatch("the state stands at a point where the expression is not finite; use an undamaged one")
        self._point, (self._value, self._gradient) = point, evaluation
        self._update.parameters[:] = point
        self._update.optimizer_state[:] = state["optimizer"]
        self._numbers[:] = state["search"]
        self._step, self._diverged = int(state["position"][0]), bool(state["position"][1])
        self._best = (int(state["best_step"][0]), float(state["best_value"][0]), state["best_parameters"].tolist())
        self._path.restore(state)

    def _digest(self) -> np.ndarray:
        fields = {name: value for name, value in _without_defaults(self.spec).items() if name not in _OPEN_TO_CHANGE}
        return np.frombuffer(hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).digest(), np.uint8)


def minimize(spec: MinimizeSpec) -> MinimizeResult:
    """Where the search that `spec` asks for ends. Raises InvalidSpec with all that is wrong with it."""
    minimizer = Minimizer(spec)
    for _ in minimizer.run():
        pass
    return minimizer.result()
