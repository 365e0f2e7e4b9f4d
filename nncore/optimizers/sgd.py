"""Gradient descent: against the gradient, or against a running sum of gradients (momentum).

    plain:     p -= rate g
    momentum:  b = momentum b + g;  p -= rate b
    nesterov:  b = momentum b + g;  p -= rate (g + momentum b)

The buffer b is free of the learning rate, as in torch.optim.SGD (dampening 0); Keras and scikit-learn keep rate * b, which is the same
as long as the rate stands still. Source: Sutskever et al., "On the importance of initialization and momentum", ICML 2013.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from nncore.definition import shown
from nncore.machine.kernels import RATE, Array, Op, kernel, view
from nncore.machine.plan import Plan
from nncore.optimizers.optimizer import LearningRate, Optimizer


class SGD(Optimizer):
    """Plain gradient descent, p -= rate g, with momentum and Nesterov's look ahead if wanted, as in torch.optim.SGD."""

    model_config = shown(type="sgd", learning_rate=0.1, momentum=0.9, nesterov=True)

    type: Literal["sgd"] = "sgd"
    learning_rate: LearningRate
    momentum: Annotated[float, Field(ge=0, lt=1, description="Part of the running sum of gradients that stays at each step.")] = 0.0
    nesterov: Annotated[bool, Field(description="Whether a step goes on by the momentum once more.")] = False

    @field_validator("nesterov")
    @classmethod
    def _looks_ahead_along_a_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise PydanticCustomError("nesterov_without_momentum", "nesterov needs a momentum above 0, such as 0.9", {})
        return nesterov

    def lower_update(self, plan: Plan) -> None:
        if self.momentum == 0:
            plan.update.append((sgd, plan.parameters_at, plan.gradients_at, plan.parameter_count))
        else:
            places = (plan.parameters_at, plan.gradients_at, plan.optimizer_state())
            plan.update.append((momentum, *places, plan.parameter_count, plan.constant(self.momentum), int(self.nesterov)))


@kernel
def sgd(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, gradients_at, size = op[:3]
    parameters, gradients, rate = view(arena, parameters_at, size), view(arena, gradients_at, size), arena[RATE]
    for i in range(size):
        parameters[i] -= rate * gradients[i]


@kernel
def momentum(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, gradients_at, buffer_at, size, momentum_at, nesterov = op[:6]
    parameters, gradients, rate = view(arena, parameters_at, size), view(arena, gradients_at, size), arena[RATE]
    buffer, keep = view(arena, buffer_at, size), arena[momentum_at]
    if nesterov:
        for i in range(size):
            buffer[i] = keep * buffer[i] + gradients[i]
            parameters[i] -= rate * (gradients[i] + keep * buffer[i])
    else:
        for i in range(size):
            buffer[i] = keep * buffer[i] + gradients[i]
            parameters[i] -= rate * buffer[i]
