"""Any optimizer of nncore.optimizers on a small vector of float64: the same spec, the same kernels.

The optimizer is lowered into a plan that holds nothing else; every variable is a parameter of its own, and a weight, so that penalties
and decay take it. An optimizer that is added to the union works here by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import types

from nncore.machine.kernels import HEADER, INTERPRETED, RATE, STEP, compile_result, jit_on_disk
from nncore.machine.plan import Layout, Plan
from nncore.machine.run import _run_rows as run_between
from nncore.optimizers.optimizer import Optimizer

SCALAR_STEPS = 1024
"""The optimizer's scalars are computed for so many steps at a time, from multiples of it on: where a run is cut changes no bit."""


class Update:
    """The update of some named numbers. Compiles the optimizer's kernels when it is made, where nobody did before.

    parameters, gradients: (variables,), views that may be written to. optimizer_state: whatever the optimizer remembers, one vector.
    """

    def __init__(self, optimizer: Optimizer, variables: Sequence[str]) -> None:
        self._optimizer = optimizer
        layout = Layout()
        plan = Plan(layout, 1, training=True)
        for name in variables:
            plan.parameter(name, (1, 1), bound=0.0)
        optimizer.lower(plan)
        bases = layout.bases()
        self._arena = np.zeros(layout.arena_size)
        self._integers = np.zeros(max(layout.sizes["integers"], HEADER), np.int64)
        for numbers, place in layout.constants.items():
            self._arena[bases["constants"] + place.offset :][: len(numbers)] = numbers
        self.parameters = self._arena[bases["parameters"] :][: len(variables)]
        self.gradients = self._arena[bases["gradients"] :][: len(variables)]
        self.optimizer_state = self._arena[bases["optimizer"] :][: layout.sizes["optimizer"]]
        self._addresses = np.array([kernel.address(self._arena.dtype) for kernel in plan.kernels()], dtype=np.int64)
        self._table, self._rows = plan.table(), row_loop()  # compiled or loaded here, so that no step takes a second
        self._scalars, self._scalars_from = np.empty((0, 1)), -SCALAR_STEPS

    def apply(self, step: int) -> None:
        """Change the parameters by the gradients, as update number `step`, counted from 0."""
        row = step - self._scalars_from
        if not 0 <= row < SCALAR_STEPS:
            row = step % SCALAR_STEPS
            self._scalars_from = step - row
            self._scalars = self._optimizer.scalars(np.arange(self._scalars_from, self._scalars_from + SCALAR_STEPS))
        scalars = self._scalars[row]
        self._arena[RATE : RATE + len(scalars)] = scalars
        self._integers[STEP] = step
        self._rows(self._addresses, self._table, self._arena, self._integers)


def run_rows(addresses: np.ndarray, table: np.ndarray, arena: np.ndarray, integers: np.ndarray) -> None:
    """Call the kernels of every row of a plan's table, in their order."""
    run_between(addresses, table, 0, len(table), arena, integers)


_run_rows = jit_on_disk(run_rows)


@cache
def row_loop() -> Any:
    """run_rows for arenas of float64, compiled or loaded."""
    if INTERPRETED:
        return run_rows
    whole, numbers = types.int64[::1], types.float64[::1]
    return compile_result(_run_rows, types.void(whole, types.int64[:, ::1], numbers, whole)).entry_point
