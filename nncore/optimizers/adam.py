"""Adam: momentum, divided by the root of a running mean of squared gradients, so that every parameter moves at its own pace.

    m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2;   at step t = 1, 2, ...
    epsilon_mode "torch":  p -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
    epsilon_mode "hat":    p -= rate sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)

"torch" is Algorithm 1 of the paper and torch.optim.Adam; "hat" is the remark below it, and Keras, scikit-learn and ONNX.
They differ while gradients are near epsilon: in the first step at g = 1e-8 by 0.500 against 0.0307 of the rate.

Source: Kingma, Ba, "Adam: a method for stochastic optimization", 2014 (arXiv 1412.6980).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.machine.kernels import RATE, ROOT_SCALE, Array, Op, kernel, view
from nncore.machine.plan import Plan
from nncore.optimizers.optimizer import Decay, Epsilon, LearningRate, Optimizer


class Adam(Optimizer):
    """A running mean of gradients, divided by the root of one of their squares; a good first choice."""

    model_config = shown(type="adam", learning_rate=0.001)

    type: Literal["adam"] = "adam"
    learning_rate: LearningRate = 1e-3
    beta1: Annotated[Decay, Field(description="Part of the running mean of gradients that stays at each step.")] = 0.9
    beta2: Annotated[Decay, Field(description="Part of the running mean of their squares that stays at each step.")] = 0.999
    epsilon: Epsilon = 1e-8
    epsilon_mode: Annotated[
        Literal["torch", "hat"],
        Field(
            description='"torch": epsilon is added to the root that is corrected for its start; "hat": to the one that is not, as in Keras.'
        ),
    ] = "torch"

    def lower_update(self, plan: Plan) -> None:
        places = (plan.parameters_at, plan.gradients_at, plan.optimizer_state(), plan.optimizer_state())
        constants = plan.constant(self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2, self.epsilon)
        plan.update.append((adam, *places, plan.parameter_count, constants))

    def rates(self, steps: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        correction1, correction2 = 1 - self.beta1 ** (steps + 1.0), np.sqrt(1 - self.beta2 ** (steps + 1.0))
        if self.epsilon_mode == "torch":
            return rates / correction1, 1 / correction2
        return rates * correction2 / correction1, np.ones(len(steps))


@kernel
def adam(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, gradients_at, means_at, squares_at, size, constants_at = op[:6]
    parameters, gradients = view(arena, parameters_at, size), view(arena, gradients_at, size)
    means, squares, constants = view(arena, means_at, size), view(arena, squares_at, size), view(arena, constants_at, 5)
    beta1, keep1, beta2, keep2, epsilon = constants[0], constants[1], constants[2], constants[3], constants[4]
    rate, root_scale = arena[RATE], arena[ROOT_SCALE]
    for i in range(size):
        means[i] = beta1 * means[i] + keep1 * gradients[i]
        squares[i] = beta2 * squares[i] + keep2 * gradients[i] * gradients[i]
        parameters[i] -= rate * means[i] / (np.sqrt(squares[i]) * root_scale + epsilon)
