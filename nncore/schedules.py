"""Schedules: by which factor the learning rate is multiplied at every step. `ScheduleSpec` is the only list of them.

A factor is a function of the number of the step alone, in float64, so where training is cut or resumed changes nothing.

    constant     1
    step         factor^floor(t / every_steps)                                   torch.optim.lr_scheduler.StepLR
    exponential  factor^(t / every_steps)                                        ExponentialLR, where every_steps is an epoch
    cosine       final + (1 - final) (1 + cos(pi t / steps)) / 2, then final      CosineAnnealingLR; Loshchilov, Hutter 2017 (1608.03983)
    one_cycle    up from 1 / start_divisor to 1, then down to 1 / (start_divisor final_divisor), both on half a cosine
                 OneCycleLR with its defaults; Smith, Topin 2018 (1708.07120). The learning rate is the highest, torch's max_lr.

In front of any of them: for t < warmup_steps = w the factor is (t + 1) / w of the schedule's first one, and the schedule begins at t = w.
t counts updates from 0, never epochs (torch's schedulers are stepped by hand, most often once an epoch: multiply by steps_per_epoch).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from nncore.definition import Definition
from nncore.errors import Fault, InvalidSpec

MOST_STEPS = 10**12
Steps = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Factor = Annotated[float, Field(gt=0, le=1)]


class Schedule(Definition):
    """How the learning rate goes."""

    spans_training: ClassVar[bool] = False
    """Whether the schedule has an end, by default that of the training."""

    warmup_steps: Annotated[int, Field(ge=0, le=MOST_STEPS, description="Steps over which the rate grows to its first value.")] = 0

    @abstractmethod
    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        """The factors at these steps, counted from the end of the warm-up; float64."""

    def factors(self, steps: np.ndarray) -> np.ndarray:
        """What the learning rate is multiplied with at these steps, counted from 0; float64."""
        after = self.after_warmup(np.maximum(steps - float(self.warmup_steps), 0))
        return after * np.minimum((steps + 1.0) / max(self.warmup_steps, 1), 1)

    def resolved(self, steps: int) -> Self:
        """The same schedule with its end written in, for a training of so many steps. Raises InvalidSpec where the warm-up is longer."""
        if self.warmup_steps > steps:
            message = f"a warm-up of {self.warmup_steps:,} steps is longer than the {steps:,} steps of the training; shorten it"
            raise InvalidSpec(Fault("/warmup_steps", "warmup_too_long", message, f"at most {steps:,}", f"{self.warmup_steps:,}"))
        if self.spans_training and getattr(self, "steps", None) is None:
            return self.model_copy(update={"steps": max(steps - self.warmup_steps, 1)})
        return self


class Constant(Schedule):
    """The learning rate stands still."""

    type: Literal["constant"] = "constant"

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return np.ones(len(steps))


class Step(Schedule):
    """The rate falls by a factor, again and again after the same number of steps."""

    type: Literal["step"] = "step"
    every_steps: Steps
    factor: Factor = 0.1

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return np.asarray(self.factor ** np.floor_divide(steps, self.every_steps))


class Exponential(Schedule):
    """The rate falls steadily, by a factor within so many steps."""

    type: Literal["exponential"] = "exponential"
    every_steps: Steps = 1
    factor: Factor

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return np.asarray(self.factor ** (steps / self.every_steps))


class _Spanning(Schedule):
    spans_training = True
    steps: Annotated[Steps | None, Field(description="From the end of the warm-up. Default: to the end of the training.")] = None

    @property
    def length(self) -> int:
        if self.steps is None:
            raise ValueError(f"the {type(self).__name__} schedule has no end yet; take that of resolved(steps)")
        return self.steps


class Cosine(_Spanning):
    """The rate falls along half a cosine, and stays at its end."""

    type: Literal["cosine"] = "cosine"
    final: Annotated[float, Field(ge=0, le=1, description="Part of the learning rate that is left at the end.")] = 0.0

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return _half_cosine(1.0, self.final, np.minimum(steps / self.length, 1))


class OneCycle(_Spanning):
    """The rate rises to the learning rate and falls far below where it began."""

    type: Literal["one_cycle"] = "one_cycle"
    rising: Annotated[float, Field(gt=0, lt=1, description="Part of the steps in which the rate rises.")] = 0.3
    start_divisor: Annotated[float, Field(ge=1, le=1e12)] = 25.0
    final_divisor: Annotated[float, Field(ge=1, le=1e12)] = 1e4

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        start = 1 / self.start_divisor
        top, last = self.rising * self.length - 1, self.length - 1.0
        up = _half_cosine(start, 1.0, np.clip(steps / top, 0, 1)) if top > 0 else np.ones(len(steps))
        down = _half_cosine(1.0, start / self.final_divisor, np.clip((steps - top) / max(last - top, 1e-9), 0, 1))
        return np.where(steps <= top, up, down)


def _half_cosine(first: float, last: float, part: np.ndarray) -> np.ndarray:
    return np.asarray(last + (first - last) / 2 * (1 + np.cos(np.pi * part)))


ScheduleSpec = Annotated[Constant | Step | Exponential | Cosine | OneCycle, Field(discriminator="type")]
