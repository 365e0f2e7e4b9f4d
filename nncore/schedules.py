"""Schedules: by which factor the learning rate is multiplied at every step. `ScheduleSpec` is the only list of them.

A factor is a function of the number of the step alone, in float64, so where training is cut or resumed changes nothing. The one
exception is reduce_on_plateau, which goes by the losses: what it remembers (a Plateau) is part of a trainer's state.

    constant     1
    step         factor^floor(t / every_steps)                                   torch.optim.lr_scheduler.StepLR
    exponential  factor^(t / every_steps)                                        ExponentialLR, where every_steps is an epoch
    cosine       final + (1 - final) (1 + cos(pi t / steps)) / 2, then final      CosineAnnealingLR; Loshchilov, Hutter 2017 (1608.03983)
    one_cycle    up from 1 / start_divisor to 1, then down to 1 / (start_divisor final_divisor), both on half a cosine
                 OneCycleLR with its defaults; Smith, Topin 2018 (1708.07120). The learning rate is the highest, torch's max_lr.
    reduce_on_plateau  1, times factor whenever more than `patience` epochs in a row were no better       ReduceLROnPlateau

In front of any of them: for t < warmup_steps = w the factor is (t + 1) / w of the schedule's first one, and the schedule begins at t = w.
t counts updates from 0, never epochs (torch's schedulers are stepped by hand, most often once an epoch: multiply by steps_per_epoch).
"""

from __future__ import annotations

from abc import abstractmethod
from math import inf
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field

from nncore.definition import Definition, shown
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


class ConstantRate(Schedule):
    """The learning rate stands still."""

    model_config = shown(type="constant", warmup_steps=100)

    type: Literal["constant"] = "constant"

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return np.ones(len(steps))


class Step(Schedule):
    """The rate falls by a factor, again and again after the same number of steps: factor^floor(t / every_steps)."""

    model_config = shown(type="step", every_steps=1000, factor=0.5)

    type: Literal["step"] = "step"
    every_steps: Annotated[Steps, Field(description="After how many steps it falls.")]
    factor: Annotated[Factor, Field(description="What is left of it then.")] = 0.1

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return np.asarray(self.factor ** np.floor_divide(steps, self.every_steps))


class Exponential(Schedule):
    """The rate falls steadily, by a factor within so many steps: factor^(t / every_steps)."""

    model_config = shown(type="exponential", every_steps=100, factor=0.96)

    type: Literal["exponential"] = "exponential"
    every_steps: Annotated[Steps, Field(description="Within how many steps it falls by the factor.")] = 1
    factor: Annotated[Factor, Field(description="What is left of it then.")]

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

    model_config = shown(type="cosine", warmup_steps=100)

    type: Literal["cosine"] = "cosine"
    final: Annotated[float, Field(ge=0, le=1, description="Part of the learning rate that is left at the end.")] = 0.0

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return _half_cosine(1.0, self.final, np.minimum(steps / self.length, 1))


class OneCycle(_Spanning):
    """The rate rises to the learning rate and falls far below where it began."""

    model_config = shown(type="one_cycle", rising=0.3)

    type: Literal["one_cycle"] = "one_cycle"
    rising: Annotated[float, Field(gt=0, lt=1, description="Part of the steps in which the rate rises.")] = 0.3
    start_divisor: Annotated[float, Field(ge=1, le=1e12, description="How much less than the learning rate the first one is.")] = 25.0
    final_divisor: Annotated[float, Field(ge=1, le=1e12, description="How much less than the first one the last one is.")] = 1e4

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        start = 1 / self.start_divisor
        top, last = self.rising * self.length - 1, self.length - 1.0
        up = _half_cosine(start, 1.0, np.clip(steps / top, 0, 1)) if top > 0 else np.ones(len(steps))
        down = _half_cosine(1.0, start / self.final_divisor, np.clip((steps - top) / max(last - top, 1e-9), 0, 1))
        return np.where(steps <= top, up, down)


class Plateau(NamedTuple):
    """What reduce_on_plateau remembers. factor: the present one. best: the best loss so far. bad_epochs: in a row, no better than it.

    resting_epochs: how many more epochs of its cooldown count as none.
    """

    factor: float = 1.0
    best: float = inf
    bad_epochs: float = 0.0
    resting_epochs: float = 0.0


class ReduceOnPlateau(Schedule):
    """The rate falls by a factor when epochs get no better: by validation loss, else by training loss.

    As torch.optim.lr_scheduler.ReduceLROnPlateau, stepped at the end of every epoch with that loss. "Better" is less than the best by
    more than the threshold, as a part of the best or (absolute) in nats or whatever the loss is measured in. torch leaves a rate alone
    that would fall by less than 1e-8 (its eps); this one does not. Where the loss is to grow (maximize), better is more (torch's "max").
    """

    model_config = shown(type="reduce_on_plateau", factor=0.5, patience=5)

    type: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    factor: Annotated[float, Field(gt=0, lt=1, description="What is left of the rate after a fall.")] = 0.1
    patience: Annotated[int, Field(ge=0, le=10**9, description="Epochs without a better one that are forgiven.")] = 10
    threshold: Annotated[float, Field(ge=0, le=1e30, description="By how much an epoch has to be better.")] = 1e-4
    threshold_mode: Annotated[
        Literal["relative", "absolute"], Field(description="Whether that is a part of the best loss, or in its own unit.")
    ] = "relative"
    cooldown: Annotated[int, Field(ge=0, le=10**9, description="Epochs after a fall that are not counted.")] = 0
    final: Annotated[float, Field(ge=0, le=1, description="Part of the learning rate below which it never falls.")] = 0.0

    def after_warmup(self, steps: np.ndarray) -> np.ndarray:
        return np.ones(len(steps))

    def after_epoch(self, plateau: Plateau, loss: float, *, growing: bool = False) -> Plateau:
        """What is remembered after an epoch of this loss. growing: the loss is to become large."""
        factor, best, bad_epochs, resting_epochs = plateau
        if self._is_better(loss, best, growing):
            best, bad_epochs = loss, 0.0
        else:
            bad_epochs += 1
        if resting_epochs > 0:
            resting_epochs, bad_epochs = resting_epochs - 1, 0.0
        if bad_epochs > self.patience:
            factor, bad_epochs, resting_epochs = max(factor * self.factor, self.final), 0.0, float(self.cooldown)
        return Plateau(factor, best, bad_epochs, resting_epochs)

    def _is_better(self, loss: float, best: float, growing: bool) -> bool:
        if best == inf:  # there is none yet
            return True
        step = self.threshold if growing else -self.threshold
        bound = best * (1 + step) if self.threshold_mode == "relative" else best + step
        return loss > bound if growing else loss < bound


def _half_cosine(first: float, last: float, part: np.ndarray) -> np.ndarray:
    return np.asarray(last + (first - last) / 2 * (1 + np.cos(np.pi * part)))


ScheduleSpec = Annotated[ConstantRate | Step | Exponential | Cosine | OneCycle | ReduceOnPlateau, Field(discriminator="type")]
