"""Adagrad: every parameter at its own pace, slower the more it has been pushed so far.

    s += g^2;   p -= rate g / (sqrt(initial_sum + s) + epsilon)

As torch.optim.Adagrad (initial_sum is its initial_accumulator_value; for lr_decay take a schedule). Keras starts from 0.1 and adds its
epsilon of 1e-7 within the root. Source: Duchi, Hazan, Singer, "Adaptive subgradient methods", JMLR 2011.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.machine.kernels import RATE, Array, Op, kernel, view
from nncore.machine.plan import Plan
from nncore.optimizers.optimizer import Epsilon, LearningRate, Optimizer


class Adagrad(Optimizer):
    """For gradients that are rare in some parameters and frequent in others: each is divided by the root of the sum of its squares."""

    model_config = shown(type="adagrad", learning_rate=0.01)

    type: Literal["adagrad"] = "adagrad"
    learning_rate: LearningRate = 1e-2
    initial_sum: Annotated[float, Field(ge=0, le=1e30, description="What the sums of squares begin with.")] = 0.0
    epsilon: Epsilon = 1e-10

    def lower_update(self, plan: Plan) -> None:
        places = (plan.parameters_at, plan.gradients_at, plan.optimizer_state())
        plan.update.append((adagrad, *places, plan.parameter_count, plan.constant(self.initial_sum, self.epsilon)))


@kernel
def adagrad(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, gradients_at, sums_at, size, constants_at = op[:5]
    parameters, gradients = view(arena, parameters_at, size), view(arena, gradients_at, size)
    sums, constants, rate = view(arena, sums_at, size), view(arena, constants_at, 2), arena[RATE]
    initial, epsilon = constants[0], constants[1]
    for i in range(size):
        sums[i] += gradients[i] * gradients[i]
        parameters[i] -= rate * gradients[i] / (np.sqrt(initial + sums[i]) + epsilon)
