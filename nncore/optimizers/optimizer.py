"""What every optimizer keeps: one pass over the flat vector of all parameters, and the numbers that change from step to step.

An optimizer is one file: spec, formula, kernel. Files in order of growing complexity: sgd, adagrad, rmsprop, lion, adam, adamw, lbfgs.
What any of them may have is here: a schedule, penalties (l1, l2), clipping, averages (averaging.py), going up. A step is

    gradient of loss + penalty  ->  seen to be finite  ->  clipped  ->  decoupled decay (adamw, lion)  ->  the optimizer's formula

The penalty is l1 |W| + l2 / 2 |W|^2, |.| summed over the weights; it moves the parameters, and is in no loss that is reported. Biases and
the parameters of normalisations are spared, unless `decay_biases` is set. The same elsewhere:

    PyTorch       weight_decay of SGD, Adam: l2 with decay_biases, but added after clipping
    scikit-learn  alpha: l2 = alpha / rows of the batch; its reported loss holds the penalty
    Keras         regularizers.L2(x): l2 = 2 x; L1(x): l1 = x
    Nielsen       lambda: l2 = lambda / training rows

l2 under an adaptive optimizer is divided like any gradient: decoupled decay (adamw) is another thing.

`maximize` makes the loss large, as in torch.optim: its gradient is turned round before anything else, so penalties and decay still make
weights small. The best epoch is then the one of the highest loss. It makes sense where the loss stays bounded, or a penalty or a small
learning rate bounds the way: to unlearn rows, to look for what fools a network. A cross-entropy that only grows diverges in the end.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from nncore.auto import AUTO, Auto, OrAuto
from nncore.definition import Definition
from nncore.errors import Fault, InvalidSpec
from nncore.machine.plan import NOWHERE, Parameter
from nncore.optimizers.averaging import average
from nncore.optimizers.gradient import clip_norm, clip_value, decay, negate, penalise
from nncore.schedules import ConstantRate, ReduceOnPlateau, ScheduleSpec

if TYPE_CHECKING:
    from nncore.machine.plan import Plan

# Gradients are kept below the square root of the largest float (see machine/run.py), so with this bound no single update overflows.
MOST_RATE = 1e6
LearningRate = Annotated[
    float | Auto,
    OrAuto(float, gt=0, le=MOST_RATE),
    Field(description='What every step is multiplied with, times the schedule. "auto": a worker tries some before the first step.'),
]
Penalty = Annotated[float, Field(ge=0, le=1e6)]
WeightDecay = Annotated[float, Field(ge=0, le=1e6, description="Part of the weights, times the learning rate, that each step takes off.")]
Bound = Annotated[float, Field(ge=1e-30, le=1e30)]
Decay = Annotated[float, Field(ge=0, lt=1)]
# float32 would take a smaller epsilon for 0, and 0 / 0 for an update.
Epsilon = Annotated[float, Field(ge=1e-30, description="Keeps the divisor away from zero.")]


class Optimizer(Definition):
    """How parameters follow their gradients."""

    learning_rate: LearningRate
    schedule: Annotated[ScheduleSpec, Field(description="What the learning rate is multiplied with, step by step.")] = ConstantRate()
    l1: Annotated[Penalty, Field(description="Adds l1 times the sum of absolute weights to what is made small.")] = 0.0
    l2: Annotated[Penalty, Field(description="Adds l2 / 2 times the sum of squared weights to what is made small.")] = 0.0
    decay_biases: Annotated[bool, Field(description="Whether penalties and decay take biases, too.")] = False
    clip_norm: Annotated[Bound | None, Field(description="The largest Euclidean norm of the whole gradient.")] = None
    clip_value: Annotated[Bound | None, Field(description="The largest absolute value of each number of the gradient.")] = None
    average_decay: Annotated[
        Decay | None, Field(description="Evaluate and keep a running mean of the parameters; the part of it that stays at each step.")
    ] = None
    maximize: Annotated[bool, Field(description="Make the loss large instead of small.")] = False

    @field_validator("clip_value")
    @classmethod
    def _clipped_one_way(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("clip_norm") is not None:
            raise PydanticCustomError("clipped_twice", "a gradient is clipped by its norm or by value, not both; leave one out", {})
        return value

    @field_validator("weight_decay", check_fields=False)
    @classmethod
    def _leaves_some_weight(cls, weight_decay: float, info: ValidationInfo) -> float:
        rate = info.data.get("learning_rate", 0)
        if rate != AUTO and (part := rate * weight_decay) > 1:
            message = (
                "each step takes learning_rate times weight_decay off the weights, at most all of them; expected at most 1, got {part}"
            )
            raise PydanticCustomError("decay_beyond_zero", message, {"part": f"{part:g}"})
        return weight_decay

    @property
    def rate(self) -> float:
        """The learning rate, once it is a number: "auto" has to be found first."""
        if self.learning_rate == AUTO:
            raise TypeError("the learning rate is still to be found")
        return float(self.learning_rate)

    def resolved(self, steps: int) -> Self:
        """The same optimizer, its schedule for a training of so many steps. Raises InvalidSpec, pointers relative to the optimizer."""
        try:
            return self.model_copy(update={"schedule": self.schedule.resolved(steps)})
        except InvalidSpec as refused:
            raise InvalidSpec(fault.under("/schedule") for fault in refused.faults) from None

    def faults_without_epochs(self) -> Iterator[Fault]:
        """What of it has a meaning in the training of a network only; pointers relative to the optimizer."""
        if self.learning_rate == AUTO:
            message = "a learning rate is found by training on some rows, of which there are none here; say a number"
            yield Fault("/learning_rate", "needs_rows", message, "a number", '"auto"')
        if isinstance(self.schedule, ReduceOnPlateau):
            message = "reduce_on_plateau judges epochs, of which there are none here; take another schedule"
            yield Fault("/schedule/type", "needs_epochs", message, "a schedule of steps", '"reduce_on_plateau"')
        if self.average_decay is not None:
            message = "averages are evaluated at the ends of epochs, of which there are none here; leave average_decay out"
            yield Fault("/average_decay", "needs_epochs", message, "null", f"{self.average_decay:g}")
        if self.maximize:
            yield Fault("/maximize", "goal_said_twice", 'the goal says whether to go up; set "goal" to "maximize" instead', "false", "true")

    def lower(self, plan: Plan) -> None:
        """Append the update of all parameters to the plan, after every parameter has been asked for."""
        whole: list[tuple[Any, ...]] = []
        if self.maximize:
            whole.append((negate, plan.gradients_at, plan.parameter_count))
        if self.l1 or self.l2:
            whole += [(penalise, *self._places(each), plan.constant(self.l1, self.l2)) for each in self._decayed(plan)]
        if whole:  # the first group runs last: the gradient is whole then, and its penalty is seen to be finite with it
            plan.backward.insert(0, whole)
        if self.clip_norm is not None:
            plan.update.append((clip_norm, plan.gradients_at, plan.parameter_count, plan.constant(self.clip_norm, 1e-6)))
        elif self.clip_value is not None:
            plan.update.append((clip_value, plan.gradients_at, plan.parameter_count, plan.constant(self.clip_value)))
        if getattr(self, "weight_decay", 0.0):
            plan.update += [(decay, each.at, each.size) for each in self._decayed(plan)]
        averages_at = NOWHERE if self.average_decay is None else plan.optimizer_state()  # the first of its vectors: see Machine.averages
        self.lower_update(plan)
        if self.average_decay is not None:
            plan.update.append((average, averages_at, plan.parameters_at, plan.parameter_count, plan.constant(1 - self.average_decay)))

    @abstractmethod
    def lower_update(self, plan: Plan) -> None:
        """Append the formula itself: parameters out of gradients."""

    def learning_rates(self, steps: np.ndarray, factor: float = 1.0) -> np.ndarray:
        """(len(steps),) float64: the learning rates at these steps, counted from 0. factor: that of a plateau, see schedules."""
        return np.asarray(self.rate * factor * self.schedule.factors(steps))

    def scalars(self, steps: np.ndarray, factor: float = 1.0) -> np.ndarray:
        """(len(steps), k) float64: what the scalars of the arena (RATE, ROOT_SCALE, DECAY) are at these steps, counted from 0."""
        rates = self.learning_rates(steps, factor)
        weight_decay: float = getattr(self, "weight_decay", 0.0)
        return np.column_stack([*self.rates(steps, rates), rates * weight_decay])

    def rates(self, steps: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RATE and ROOT_SCALE at these steps, from the learning rates there."""
        return rates, np.ones(len(steps))

    def _decayed(self, plan: Plan) -> list[Parameter]:
        return [each for each in plan.layout.parameters.values() if self.decays(each)]

    def decays(self, parameter: Parameter) -> bool:
        """Whether penalties and decay take it."""
        return self.decay_biases or (parameter.decays and len(parameter.shape) > 1)

    @staticmethod
    def _places(parameter: Parameter) -> tuple[Any, ...]:
        return parameter.at, parameter.gradient, parameter.size
