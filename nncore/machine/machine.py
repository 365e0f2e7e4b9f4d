"""A program in memory: the arena, the integers, the addresses of its kernels; runs steps and evaluates rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from nncore.machine.arena import memory_of
from nncore.machine.kernels import SEED, STEP, VERDICT
from nncore.machine.plan import NOWHERE, Plan
from nncore.machine.program import Program
from nncore.machine.run import (
    ACCUMULATED,
    GRADIENTS,
    INPUTS,
    LABELS,
    OUTPUTS,
    PARAMETER_COUNT,
    PLACES,
    ROW_LOSSES,
    SUMS,
    TARGETS,
    VERDICTS,
    WEIGHTS,
    loops,
)


class Rows(NamedTuple):
    """The data a machine gathers its batches from. Which of targets and labels is empty, the loss decides.

    inputs: (rows, numbers per item). targets: (rows, outputs). Both C-contiguous in the dtype of the machine. labels: (rows,) int64.
    weights: (rows,), in the dtype of the machine; empty where all rows count the same.
    """

    inputs: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(
        cls,
        inputs: np.ndarray,
        targets: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> Rows:
        """Rows of any item shape; what is missing is empty."""
        flat = np.ascontiguousarray(inputs).reshape(len(inputs), prod(inputs.shape[1:]))
        targets = np.empty((0, 1), flat.dtype) if targets is None else np.ascontiguousarray(targets, dtype=flat.dtype)
        labels = np.empty(0, np.int64) if labels is None else np.ascontiguousarray(labels, dtype=np.int64)
        weights = np.empty(0, flat.dtype) if weights is None else np.ascontiguousarray(weights, dtype=flat.dtype)
        return cls(flat, targets.reshape(len(targets), prod(targets.shape[1:])), labels, weights)


class _LoadedPlan:
    """A plan as the compiled loops want it."""

    def __init__(self, plan: Plan, dtype: np.dtype[Any]) -> None:
        self.addresses = np.array([kernel.address(dtype) for kernel in plan.kernels()], dtype=np.int64)
        self.rows = plan.table()
        self.updates_from = len(self.rows) - len(plan.update)
        self.places = np.full(PLACES, NOWHERE, dtype=np.int64)
        found = {INPUTS: plan.inputs.at, TARGETS: plan.targets_at, LABELS: plan.labels_at, ROW_LOSSES: plan.row_losses_at}
        found |= {OUTPUTS: plan.outputs.at, GRADIENTS: plan.gradients_at, WEIGHTS: plan.weights_at, ACCUMULATED: plan.accumulated_at}
        for position, place in found.items():
            self.places[position] = plan.resolve(place)
        self.places[PARAMETER_COUNT] = plan.parameter_count


class Machine:
    """Runs a program. Its arrays are views of one arena: writing to `parameters` changes the network.

    parameters, gradients: (parameter_count,). learned: the parameters and, behind them, the running statistics of layers.
    optimizer_state: whatever the optimizer remembers, one vector. averages: the parameters averaged, the beginning of optimizer_state;
    only where the optimizer averages them.
    """

    def __init__(self, program: Program, dtype: str, seed: int = 0) -> None:
        self.program, self.dtype = program, np.dtype(dtype)
        self._run_steps, self._run_blocks = loops(self.dtype)
        layout, bases = program.layout, program.layout.bases()
        self.arena, self.integers = memory_of(layout, self.dtype)
        self.integers[SEED] = seed
        self.learned = self.arena[bases["parameters"] :][: layout.learned_count]
        self.parameters = self.learned[: layout.parameter_count]
        self.gradients = self.arena[bases["gradients"] :][: layout.parameter_count]
        self.optimizer_state = self.arena[bases["optimizer"] :][: layout.sizes["optimizer"]]
        self.averages = self.optimizer_state[: layout.parameter_count]
        self._training = None if program.training is None else _LoadedPlan(program.training, self.dtype)
        self._evaluation = _LoadedPlan(program.evaluation, self.dtype)
        self._limit = float(np.sqrt(np.finfo(self.dtype).max))

    @property
    def step(self) -> int:
        """How many updates have been applied."""
        return int(self.integers[STEP])

    @step.setter
    def step(self, step: int) -> None:
        self.integers[STEP] = step

    @property
    def verdict(self) -> str:
        """What was not finite in the step that was not applied: "loss" or "gradient"."""
        return VERDICTS[self.integers[VERDICT]]

    def initialise(self, generator: np.random.Generator) -> None:
        """Draw all parameters, in their order. Those given in the spec are drawn too, then replaced: the others do not depend on them."""
        for values, parameter in zip(self._parts(), self.program.layout.parameters.values(), strict=True):
            if parameter.initialiser is None:
                drawn = generator.uniform(-parameter.bound, parameter.bound, parameter.size)
            else:
                drawn = parameter.initialiser.draw(generator, parameter.shape).ravel()
            values[:] = drawn if parameter.given is None else np.asarray(parameter.given, dtype=np.float64).ravel()
        for values, statistic in zip(self._statistics(), self.program.layout.statistics.values(), strict=True):
            values[:] = statistic.first if statistic.given is None else np.asarray(statistic.given, dtype=np.float64).ravel()

    def load(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Take the parameters, and the running statistics, from arrays by name."""
        layout = self.program.layout
        for values, name in zip([*self._parts(), *self._statistics()], [*layout.parameters, *layout.statistics], strict=True):
            values[:] = parameters[name].ravel()

    def run_steps(self, scalars: np.ndarray, sums: np.ndarray, rows: Rows, order: np.ndarray, begin: int) -> int:
        """Run one step for each row of `scalars`, on batches of `order` from `begin` on; how many were applied. See run.run_steps."""
        plan = self._training
        assert plan is not None, "a program without an optimizer or gradients has no training plan"
        done: int = self._run_steps(
            plan.addresses,
            plan.rows,
            plan.updates_from,
            self.arena,
            self.integers,
            plan.places,
            self._limit,
            scalars,
            sums,
            *rows,
            order,
            begin,
            self.program.batch_size,
            self.program.accumulate,
        )
        return done

    def run_backward(self, scalars: np.ndarray, rows: Rows, order: np.ndarray, begin: int) -> bool:
        """Compute the gradients of the next step and leave it at that: nothing is updated. Whether loss and gradients are finite.

        Arguments as in `run_steps`, of which the first row of `scalars` is taken.
        """
        plan, step = self._training, self.step
        assert plan is not None, "a program without an optimizer or gradients has no training plan"
        done: int = self._run_steps(
            plan.addresses,
            plan.rows[: plan.updates_from],
            plan.updates_from,
            self.arena,
            self.integers,
            plan.places,
            self._limit,
            scalars[:1],
            np.zeros(SUMS),
            *rows,
            order,
            begin,
            self.program.batch_size,
            self.program.accumulate,
        )
        self.step = step
        return done == 1

    def run_blocks(self, sums: np.ndarray, rows: Rows, order: np.ndarray, outputs: np.ndarray) -> None:
        """Evaluate the rows that `order` names, with the present parameters. See run.run_blocks."""
        plan = self._evaluation
        self._run_blocks(
            plan.addresses, plan.rows, self.arena, self.integers, plan.places, sums, *rows, order, outputs, self.program.block_rows
        )

    def _parts(self) -> Iterator[np.ndarray]:
        for parameter in self.program.layout.parameters.values():
            yield self.parameters[parameter.at.offset :][: parameter.size]

    def _statistics(self) -> Iterator[np.ndarray]:
        for statistic in self.program.layout.statistics.values():
            yield self.learned[self.program.parameter_count + statistic.at.offset :][: statistic.size]
