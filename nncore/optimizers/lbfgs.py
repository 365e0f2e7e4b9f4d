"""L-BFGS: steps along a direction that the last gradients and moves bend towards the minimum, each as long as a line search finds good.

    y = change of the gradient, s = move, of the last `history` steps;   d = -H g, with H built from them (two loops over the pairs)
    first step: d = -g, tried with length rate min(1, 1 / sum of |g|); from then on the rate is tried first (1 fits nearly always)

Each update is made with all rows and looks at loss and gradient several times, mostly twice: for few rows and smooth losses it takes
ten to a hundred times fewer epochs than the others. It needs the same loss at the same place, so nothing may be drawn (dropout,
augmentation) or follow the steps (batch_norm). As torch.optim.LBFGS(max_iter=1, max_eval=26, line_search_fn="strong_wolfe"), called
once per epoch; the loss of the line search has the penalty l2 in it. Training ends ("converged") when a step finds nothing lower.

Source: Nocedal, Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.errors import Fault
from nncore.machine.plan import Plan
from nncore.optimizers.line_search import Trial, strong_wolfe
from nncore.optimizers.optimizer import LearningRate, Optimizer
from nncore.schedules import ConstantRate

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""(value, gradient) at a point; the value is infinite where one of them is not finite."""

STEEP_ENOUGH = 1e-10
"""A pair whose gradients changed by less along the move is not kept: it would not bend the direction downwards."""


class LBFGS(Optimizer):
    """L-BFGS, for full batches: few rows, smooth losses, exact minima."""

    model_config = shown(type="lbfgs")

    type: Literal["lbfgs"] = "lbfgs"
    learning_rate: LearningRate = 1.0
    history: Annotated[int, Field(ge=1, le=100, description="How many steps are remembered (torch: history_size, 100).")] = 10
    evaluations: Annotated[int, Field(ge=1, le=1000, description="Lengths that a line search tries after the first.")] = 25
    gradient_tolerance: Annotated[float, Field(ge=0, description="It has converged where no slope is larger.")] = 1e-7
    change_tolerance: Annotated[float, Field(ge=0, description="It has converged where a step promises less.")] = 1e-9

    def faults_of_line_search(self) -> Iterator[Fault]:
        """Which of the fields that every optimizer has do not go with a line search; pointers relative to the optimizer."""
        if self.schedule != ConstantRate():
            yield _unfit("schedule", "the line search finds the length of every step", '{"type": "constant"}')
        if self.l1:
            yield _unfit("l1", "it has a kink, and the line search follows slopes", "0")
        for name in ("clip_norm", "clip_value", "average_decay"):
            if getattr(self, name) is not None:
                yield _unfit(name, "steps follow the gradient as it is, and end at the minimum", "null")

    def lower_update(self, plan: Plan) -> None:
        """Takes the memory; the update is Search.advance, between evaluations."""
        for _ in range(2 * self.history + 1):
            plan.optimizer_state()

    def search_numbers(self) -> np.ndarray:
        """What a search remembers beside its vectors, at first."""
        return np.zeros(NUMBERS + self.history)


def _unfit(name: str, reason: str, expected: str) -> Fault:
    return Fault(f"/{name}", "unfit_for_lbfgs", f"lbfgs takes no {name}: {reason}; leave it out", expected)


# Positions in the numbers of a search; behind them 1 / (y s) of each kept pair.
KNOWN, STEPS, FIRST, KEPT, SCALE, VALUE, CONVERGED, NUMBERS = range(8)


class Search:
    """The way of L-BFGS over one vector. All it remembers are `memory` and `numbers`, given from outside, so that they can be saved.

    memory: (2 history + 1, n): changes of the gradient, moves, the gradient where it stands. numbers: see LBFGS.search_numbers.
    """

    def __init__(self, optimizer: LBFGS, memory: np.ndarray, numbers: np.ndarray) -> None:
        self._optimizer, self._numbers = optimizer, numbers
        history = optimizer.history
        self._changes, self._moves, self._gradient = memory[:history], memory[history : 2 * history], memory[2 * history]

    @property
    def converged(self) -> bool:
        """Whether the last step found nothing lower."""
        return bool(self._numbers[CONVERGED])

    @property
    def bent(self) -> bool:
        """Whether slopes rose along any of the last moves."""
        return bool(self._numbers[KEPT])

    @property
    def steepest_minimum(self) -> float:
        """The largest slope that a minimum may have."""
        return self._optimizer.gradient_tolerance

    @property
    def value(self) -> float:
        """Where it stands."""
        return float(self._numbers[VALUE])

    def begin(self, point: np.ndarray, evaluate: Evaluate) -> bool:
        """Look at the first point, unless that was done; false where value or gradient are not finite there."""
        if not self._numbers[KNOWN]:
            value, gradient = evaluate(point)
            if not np.isfinite(value):
                return False
            self._numbers[KNOWN], self._numbers[VALUE], self._gradient[:] = 1, value, gradient
        return True

    def advance(self, point: np.ndarray, evaluate: Evaluate) -> None:
        """One step, once it has begun: `point` is overwritten with where it leads."""
        numbers, optimizer = self._numbers, self._optimizer
        direction = self._direction()
        slope, reach = float(self._gradient @ direction), float(np.abs(direction).max())
        if float(np.abs(self._gradient).max()) <= optimizer.gradient_tolerance or slope > -optimizer.change_tolerance:
            numbers[CONVERGED] = 1
        else:
            first = min(1.0, 1.0 / float(np.abs(self._gradient).sum())) if numbers[STEPS] == 0 else 1.0
            self._move(point, direction, slope, reach, first * optimizer.rate, evaluate)
        numbers[STEPS] += 1

    def _move(self, point: np.ndarray, direction: np.ndarray, slope: float, reach: float, length: float, evaluate: Evaluate) -> None:
        kind = point.dtype.type

        def look(length: float) -> Trial:
            value, gradient = evaluate(point + kind(length) * direction)
            return Trial(length, value, gradient.copy(), float(gradient @ direction))

        start = Trial(0.0, float(self._numbers[VALUE]), self._gradient, slope)
        found = strong_wolfe(look, start, length, reach, self._optimizer.change_tolerance, self._optimizer.evaluations)
        move = kind(found.length) * direction
        if found.length == 0 or not np.isfinite(found.value) or np.array_equal(point + move, point):
            self._numbers[CONVERGED] = 1
            return
        self._keep(found.gradient - self._gradient, move)
        point += move
        self._numbers[VALUE], self._gradient[:] = found.value, found.gradient

    def _direction(self) -> np.ndarray:
        """-H g, from the pairs that are kept; -g before there are any."""
        numbers, history = self._numbers, self._optimizer.history
        direction: np.ndarray = -self._gradient
        order = [int(numbers[FIRST] + i) % history for i in range(int(numbers[KEPT]))]
        parts, kind = {}, direction.dtype.type
        for at in reversed(order):
            parts[at] = float(self._moves[at] @ direction) * numbers[NUMBERS + at]
            direction += kind(-parts[at]) * self._changes[at]
        if order:
            direction *= kind(numbers[SCALE])
        for at in order:
            turned = float(self._changes[at] @ direction) * numbers[NUMBERS + at]
            direction += kind(parts[at] - turned) * self._moves[at]
        return direction

    def _keep(self, change: np.ndarray, move: np.ndarray) -> None:
        """Remember a pair, in the place of the oldest where there is no other."""
        numbers, history = self._numbers, self._optimizer.history
        steepness = float(change @ move)
        if steepness <= STEEP_ENOUGH:
            return
        at = int(numbers[FIRST] + numbers[KEPT]) % history
        if numbers[KEPT] == history:
            numbers[FIRST] = (numbers[FIRST] + 1) % history
        else:
            numbers[KEPT] += 1
        self._changes[at], self._moves[at] = change, move
        numbers[NUMBERS + at], numbers[SCALE] = 1 / steepness, steepness / float(change @ change)
