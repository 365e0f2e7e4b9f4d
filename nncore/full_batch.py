"""Steps of L-BFGS in the training of a network: loss and gradient of all rows, looked at as often as a line search wants."""

from __future__ import annotations

from math import inf

import numpy as np

from nncore.machine.machine import Machine, Rows
from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS
from nncore.optimizers.lbfgs import LBFGS, Search


class FullBatchSearch:
    """A search over the parameters of a machine. Between two steps nothing outlives it but the machine's arrays and `numbers`.

    order: (rows,), the rows that are trained on. numbers: (n,) float64; may be overwritten, to go on elsewhere.
    """

    def __init__(self, machine: Machine, optimizer: LBFGS, rows: Rows, order: np.ndarray) -> None:
        self._machine, self._optimizer, self._rows, self._order = machine, optimizer, rows, order
        self.numbers = np.append(optimizer.search_numbers(), 0.0)  # the last one: how many rows count
        memory = machine.optimizer_state.reshape(2 * optimizer.history + 1, -1)[:, : machine.parameters.size]
        self._search = Search(optimizer, memory, self.numbers[:-1])
        self._scalars, self._sums = optimizer.scalars(np.arange(1)), np.zeros(SUMS)
        penalised = [each for each in machine.program.layout.parameters.values() if optimizer.l2 and optimizer.decays(each)]
        self._penalised = [machine.parameters[each.at.offset :][: each.size] for each in penalised]

    @property
    def converged(self) -> bool:
        """Whether the last step found nothing lower."""
        return self._search.converged

    def step(self, sums: np.ndarray) -> bool:
        """One update. The losses of the rows before it, and their number, are added to `sums`; false where they are not finite."""
        machine, point = self._machine, self._machine.parameters.copy()
        if not self._search.begin(point, self._evaluate):
            return False
        loss = self._search.value - self._penalty()
        sums += np.array([-loss if self._optimizer.maximize else loss, 1.0]) * self.numbers[-1]
        with np.errstate(over="ignore", invalid="ignore"):  # a length that leads too far is shortened
            self._search.advance(point, self._evaluate)
        machine.parameters[:] = point
        machine.step += 1
        return True

    def _evaluate(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """What is made small, with its penalty, and its gradient; infinite where one of them is not finite."""
        machine = self._machine
        machine.parameters[:], self._sums[:], step = point, 0, machine.step
        finite = machine.run_steps(self._scalars, self._sums, self._rows, self._order, 0)
        machine.step = step
        if not finite:
            return inf, machine.gradients
        self.numbers[-1] = self._sums[ROW_SUM]
        loss = float(self._sums[LOSS_SUM] / self._sums[ROW_SUM]) if self._sums[ROW_SUM] else 0.0
        return (-loss if self._optimizer.maximize else loss) + self._penalty(), machine.gradients

    def _penalty(self) -> float:
        return 0.5 * self._optimizer.l2 * sum(float(np.square(part, dtype=np.float64).sum()) for part in self._penalised)
