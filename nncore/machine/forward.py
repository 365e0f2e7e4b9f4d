"""A forward pass that can be looked into: every value is read where it lies.

In float64, with parameters given in the spec. For a few rows and for looking, not for speed: Machine is for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from nncore.initialisers import Constant
from nncore.machine.arena import memory_of
from nncore.machine.machine import Rows
from nncore.machine.plan import NOWHERE, Layout, Plan, Value
from nncore.machine.run import INPUTS, PLACES, SUMS, loops

if TYPE_CHECKING:
    from nncore.network import NetworkSpec

BLOCK_NUMBERS = 2**20  # rows are computed in blocks whose workspace is about this large: 8 MiB
FLOAT64 = np.dtype(np.float64)


class Forward:
    """A network lowered so that its layers tell what they compute. No memory is taken before `run`.

    numbers: how many the arena holds for one row.
    """

    def __init__(self, network: NetworkSpec, input_shape: Sequence[int]) -> None:
        self._network, self._input_shape = network, tuple(input_shape)
        one_row = self._lowered(1)[0].layout
        self.numbers, self._workspace = one_row.arena_size, one_row.sizes["workspace"]

    def run(self, inputs: np.ndarray) -> list[dict[str, np.ndarray]]:
        """For each layer what it tells (see Layer.tell), by name: (rows, *shape). inputs: (rows, *input_shape)."""
        rows = max(1, min(len(inputs), BLOCK_NUMBERS // max(self._workspace, 1)))
        plan, told = self._lowered(rows)
        arena, integers = memory_of(plan.layout, FLOAT64)
        _fill(plan, arena)
        _, run_blocks = loops(FLOAT64)
        addresses = np.array([kernel.address(FLOAT64) for kernel in plan.kernels()], dtype=np.int64)
        table, places = plan.table(), np.full(PLACES, NOWHERE, dtype=np.int64)
        places[INPUTS] = plan.resolve(plan.inputs.at)
        sums, nobody = np.zeros(SUMS), np.empty((0, 1))
        answers = [{name: np.empty((len(inputs), *value.shape)) for name, value in layer.items()} for layer in told]
        for first in range(0, len(inputs), rows):
            block = inputs[first : first + rows]
            data, order = Rows.of(np.asarray(block, FLOAT64)), np.arange(len(block))
            run_blocks(addresses, table, arena, integers, places, sums, *data, order, nobody, rows)
            for answer, layer in zip(answers, told, strict=True):
                for name, value in layer.items():
                    answer[name][first : first + rows] = _at(plan, value, arena, len(block))
        return answers

    def _lowered(self, rows: int) -> tuple[Plan, list[dict[str, Value]]]:
        plan = Plan(Layout(), rows, training=False)
        x = plan.inputs = Value(plan.workspace(prod(self._input_shape)), NOWHERE, self._input_shape)
        told = []
        for layer in self._network.layers:
            told.append(layer.tell(plan, x))
            x = told[-1]["activations"]
        return plan, told


def _fill(plan: Plan, arena: np.ndarray) -> None:
    """Parameters and running statistics: those given, else the constant they start with, else 0."""
    for parameter in plan.layout.parameters.values():
        first = parameter.initialiser.value if isinstance(parameter.initialiser, Constant) else 0.0
        values = first if parameter.given is None else np.asarray(parameter.given, dtype=np.float64).ravel()
        arena[plan.resolve(parameter.at) :][: parameter.size] = values
    for statistic in plan.layout.statistics.values():
        values = statistic.first if statistic.given is None else np.asarray(statistic.given, dtype=np.float64).ravel()
        arena[plan.resolve(statistic.at) :][: statistic.size] = values


def _at(plan: Plan, value: Value, arena: np.ndarray, rows: int) -> np.ndarray:
    """A view of a value: (rows, *shape)."""
    return arena[plan.resolve(value.at) :][: rows * value.size].reshape(rows, *value.shape)
