"""Reports every so many steps: when the next one is due, and the mean loss of the rows since the one before.

They count from the first step of the training on, so where it is cut or resumed changes neither where they are nor what they say.
"""

from __future__ import annotations

import numpy as np

from nncore.machine.run import LOSS_SUM, ROW_SUM, SUMS


class StepReports:
    """since: (2,) float64, what the sums of the epoch held at the report before, part of a trainer's state.

    Where that report was in an earlier epoch, the sums began anew since; then it holds what was missing there, below 0.
    """

    def __init__(self, every_steps: int | None) -> None:
        self._every_steps = every_steps
        self.since = np.zeros(SUMS)

    def due(self, step: int) -> bool:
        """Whether one is to be made when so many steps are done."""
        return self._every_steps is not None and step % self._every_steps == 0

    def steps_left(self, step: int, most: int) -> int:
        """Steps until the next one, 1 or more, but `most` at the most."""
        return most if self._every_steps is None else min(most, self._every_steps - step % self._every_steps)

    def take(self, sums: np.ndarray) -> float:
        """The mean loss of the rows since the last one, in nats or what the loss counts; the next begins here."""
        loss, rows = float(sums[LOSS_SUM] - self.since[LOSS_SUM]), float(sums[ROW_SUM] - self.since[ROW_SUM])
        self.since[:] = sums
        return loss / rows if rows else 0.0  # every row was ignored

    def end_epoch(self, sums: np.ndarray) -> None:
        """The sums begin anew."""
        if self._every_steps is not None:
            self.since -= sums
