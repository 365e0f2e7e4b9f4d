"""RMSprop: every gradient divided by the root of a running mean of its squares.

    s = alpha s + (1 - alpha) g^2
    centered:  m = alpha m + (1 - alpha) g, and s - m^2 (the variance) instead of s below the root
    b = momentum b + g / (sqrt(s) + epsilon);   p -= rate b

As torch.optim.RMSprop: epsilon outside the root, alpha 0.99. Keras has alpha (its rho) 0.9 and epsilon 1e-7 within the root, and so has
optax. Sources: Hinton, "Neural networks for machine learning", lecture 6e, 2012; centered: Graves, 2013 (arXiv 1308.0850).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.machine.kernels import RATE, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan
from nncore.optimizers.optimizer import Decay, Epsilon, LearningRate, Optimizer


class RMSprop(Optimizer):
    """Every gradient divided by the root of a running mean of its squares: adam's elder, without bias correction."""

    model_config = shown(type="rmsprop", learning_rate=0.001, alpha=0.9)

    type: Literal["rmsprop"] = "rmsprop"
    learning_rate: LearningRate = 1e-2
    alpha: Annotated[Decay, Field(description="Part of the running mean of squares that stays at each step.")] = 0.99
    epsilon: Epsilon = 1e-8
    momentum: Annotated[Decay, Field(description="Part of the running sum of divided gradients that stays at each step.")] = 0.0
    centered: Annotated[bool, Field(description="Whether the variance stands below the root, in place of the squares.")] = False

    def lower_update(self, plan: Plan) -> None:
        means_at = plan.optimizer_state() if self.centered else NOWHERE
        buffer_at = plan.optimizer_state() if self.momentum else NOWHERE
        places = (plan.parameters_at, plan.gradients_at, plan.optimizer_state(), means_at, buffer_at)
        constants = plan.constant(self.alpha, 1 - self.alpha, self.epsilon, self.momentum)
        plan.update.append((rmsprop, *places, plan.parameter_count, constants))


@kernel
def rmsprop(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, gradients_at, squares_at, means_at, buffer_at, size, constants_at = op[:7]
    parameters, gradients, squares = view(arena, parameters_at, size), view(arena, gradients_at, size), view(arena, squares_at, size)
    constants, rate, zero = view(arena, constants_at, 4), arena[RATE], arena.dtype.type(0)
    alpha, keep, epsilon, momentum = constants[0], constants[1], constants[2], constants[3]
    centered, remembering = means_at >= 0, buffer_at >= 0
    means, buffer = view(arena, max(means_at, 0), size), view(arena, max(buffer_at, 0), size)  # looked at only where they are
    for i in range(size):
        squares[i] = alpha * squares[i] + keep * gradients[i] * gradients[i]
        spread = squares[i]
        if centered:
            means[i] = alpha * means[i] + keep * gradients[i]
            spread = max(spread - means[i] * means[i], zero)  # rounding may bring it below 0
        move = gradients[i] / (np.sqrt(spread) + epsilon)
        if remembering:
            buffer[i] = momentum * buffer[i] + move
            move = buffer[i]
        parameters[i] -= rate * move
