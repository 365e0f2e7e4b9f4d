"""A network lowered: its training plan, its evaluation plan, and the layout they share. No memory is taken yet."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

from nncore.machine.kernels import Kernel
from nncore.machine.plan import NOWHERE, Layout, Plan, Value

if TYPE_CHECKING:
    from nncore.augment import Augmentation
    from nncore.losses import LossSpec
    from nncore.network import NetworkSpec
    from nncore.optimizers import OptimizerSpec

EVALUATION_NUMBERS = 2**20  # rows are evaluated in blocks whose workspace is about this large (4 MiB of float32),
FEWEST_ROWS, MOST_ROWS = 16, 1024  # but never of fewer or more rows than these


class Program:
    """The plans of a network. With an optimizer there are two, without one only the evaluation plan.

    gradients: without an optimizer, wants a training plan that updates nothing, and knows the gradient of the inputs, too: computed as
    "in training", or "in use", without dropout and by running statistics.

    accumulate: how many batches make a step. weighted: whether every row has a weight in the loss.
    block_rows: how many rows are evaluated at a time. It depends on the network alone, so what comes out depends on no caller.
    Raises InvalidSpec when the layers do not fit together.
    """

    def __init__(
        self,
        network: NetworkSpec,
        input_shape: Sequence[int],
        *,
        loss: LossSpec | None = None,
        optimizer: OptimizerSpec | None = None,
        batch_size: int = 1,
        accumulate: int = 1,
        weighted: bool = False,
        augment: Sequence[Augmentation] = (),
        gradients: Literal["in training", "in use"] | None = None,
    ) -> None:
        network.shapes(input_shape)
        self.network, self.input_shape = network, tuple(input_shape)
        self.loss, self.optimizer, self.batch_size, self.accumulate, self.weighted = loss, optimizer, batch_size, accumulate, weighted
        self.augment = tuple(augment)
        self.block_rows = self._rows_of_a_block()
        self.layout = Layout()
        self.training: Plan | None = None
        if optimizer is not None:
            self.training = self._lower(Plan(self.layout, batch_size, training=True))
            optimizer.lower(self.training)
            if accumulate > 1:
                self.training.accumulate()
        elif gradients is not None:
            in_training = gradients == "in training"
            self.training = self._lower(Plan(self.layout, batch_size, training=in_training, gradients=True), of_inputs=True)
        self.evaluation = self._lower(Plan(self.layout, self.block_rows, training=False))

    @property
    def parameter_count(self) -> int:
        return self.layout.parameter_count

    def memory_bytes(self, dtype: str) -> int:
        """What training takes beside its data: parameters, gradients, optimizer state, activations, scratch, and the best parameters."""
        numbers = self.layout.arena_size + (self.layout.learned_count if self.training else 0)
        return numbers * np.dtype(dtype).itemsize + self.layout.integers_size * 8

    def kernels(self) -> list[Kernel]:
        """Every kernel that the plans call, each once."""
        plans = [plan for plan in (self.training, self.evaluation) if plan is not None]
        return list(dict.fromkeys(kernel for plan in plans for kernel in plan.kernels()))

    def _lower(self, plan: Plan, *, of_inputs: bool = False) -> Plan:
        size = prod(self.input_shape)
        plan.inputs = Value(plan.workspace(size), plan.workspace(size) if of_inputs else NOWHERE, self.input_shape)
        x, augment = plan.inputs, self.augment if plan.training else ()
        for augmentation in augment:
            x = augmentation.lower(plan, x)
        plan.outputs = self.network.lower(plan, x)
        if self.loss is not None:
            for augmentation in augment:
                augmentation.lower_targets(plan, plan.outputs, self.loss)
            self.loss.lower(plan, plan.outputs)
            for augmentation in augment:
                augmentation.lower_loss(plan, plan.outputs, self.loss)
            if self.weighted:
                self.loss.weigh(plan, plan.outputs)
        return plan

    def _rows_of_a_block(self) -> int:
        one_row = self._lower(Plan(Layout(), 1, training=False))
        return min(max(EVALUATION_NUMBERS // one_row.layout.sizes["workspace"], FEWEST_ROWS), MOST_ROWS)
