"""What every optimizer keeps: one pass over the flat vector of all parameters, and the numbers that change from step to step.

An optimizer is one file: spec, formula, kernel. Files in order of growing complexity: sgd, adam.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from nncore.definition import Definition

if TYPE_CHECKING:
    from nncore.machine.plan import Plan

# Gradients are kept below the square root of the largest float (see machine/run.py), so with this bound no single update overflows.
LearningRate = Annotated[float, Field(gt=0, le=1e6)]


class Optimizer(Definition):
    """How parameters follow their gradients."""

    @abstractmethod
    def lower(self, plan: Plan) -> None:
        """Append the update of all parameters to the plan, after every parameter has been asked for."""

    @abstractmethod
    def scalars(self, steps: np.ndarray) -> np.ndarray:
        """(len(steps), k) float64: what the scalars of the arena (RATE, ROOT_SCALE) are at these steps, counted from 0."""
