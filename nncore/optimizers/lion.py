"""Lion: every parameter moves by the same length, in the direction of an interpolated momentum.

    p -= rate sign(beta1 m + (1 - beta1) g), after the decoupled decay p -= rate weight_decay p;   m = beta2 m + (1 - beta2) g

A sign is as large as it gets: take a learning rate three to ten times smaller, and a weight decay as much larger, than for adamw.
Source: Chen et al., "Symbolic discovery of optimization algorithms", 2023 (arXiv 2302.06675), algorithm 2; the same as optax.lion.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nncore.definition import shown
from nncore.machine.kernels import RATE, Array, Op, kernel, view
from nncore.machine.plan import Plan
from nncore.optimizers.optimizer import Decay, LearningRate, Optimizer, WeightDecay


class Lion(Optimizer):
    """The sign of a running mean of gradients: every parameter moves by the same length. Half of adam's memory."""

    model_config = shown(type="lion", learning_rate=0.0001, weight_decay=0.1)

    type: Literal["lion"] = "lion"
    learning_rate: LearningRate = 1e-4
    beta1: Annotated[Decay, Field(description="Part of the running mean in what a step follows; the rest is the gradient.")] = 0.9
    beta2: Annotated[Decay, Field(description="Part of the running mean that stays at each step.")] = 0.99
    weight_decay: WeightDecay = 0.0

    def lower_update(self, plan: Plan) -> None:
        places = (plan.parameters_at, plan.gradients_at, plan.optimizer_state())
        constants = plan.constant(self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2)
        plan.update.append((lion, *places, plan.parameter_count, constants))


@kernel
def lion(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, gradients_at, means_at, size, constants_at = op[:5]
    parameters, gradients = view(arena, parameters_at, size), view(arena, gradients_at, size)
    means, constants, rate, zero = view(arena, means_at, size), view(arena, constants_at, 4), arena[RATE], arena.dtype.type(0)
    beta1, keep1, beta2, keep2 = constants[0], constants[1], constants[2], constants[3]
    for i in range(size):
        direction = beta1 * means[i] + keep1 * gradients[i]
        parameters[i] -= rate if direction > zero else (-rate if direction < zero else zero)
        means[i] = beta2 * means[i] + keep2 * gradients[i]
