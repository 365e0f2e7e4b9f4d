"""The order in which an epoch visits the training rows, drawn anew for each."""

from __future__ import annotations

import numpy as np

from nncore.streams import generator_state, set_generator_state, stream

MOST_ORDERS, MOST_ROWS = 64, 100_000  # that are drawn again for a state; reading a generator takes as long as drawing a few rows


class Orders:
    """One order after the other.

    rows: (rows,) int64, the numbers of the training rows. shuffled: whether their order is drawn; else each epoch has the one they have.
    """

    def __init__(self, seed: int, rows: np.ndarray, *, shuffled: bool) -> None:
        self._rows, self._shuffled = rows, shuffled
        self._generator = stream(seed, "shuffle")
        self._most_since = max(1, min(MOST_ORDERS, MOST_ROWS // max(1, len(rows))))
        self._present: np.ndarray | None = None
        self._keep()

    def present(self) -> np.ndarray:
        """That of the present epoch; drawn when it is asked for first."""
        if self._present is None:
            self._present = self._rows
            if self._shuffled:
                if self._since == self._most_since:
                    self._keep()
                self._present = self._drawn(self._generator)
                self._since += 1
        return self._present

    def end_epoch(self) -> None:
        """The next is drawn when it is asked for."""
        self._present = None

    def state(self) -> np.ndarray:
        """The generator as it was before the present order was drawn, or is before the next; see `streams.generator_state`."""
        generator = np.random.Generator(np.random.PCG64(0))
        generator.bit_generator.state = self._kept
        for _ in range(self._since - (self._shuffled and self._present is not None)):
            self._drawn(generator)
        return generator_state(generator)

    def restore(self, state: np.ndarray, *, begun: bool) -> None:
        """Go on where `state` was taken. begun: within an epoch, whose order is drawn again even if it is done with."""
        set_generator_state(self._generator, state)
        self._present = None
        self._keep()
        if begun:
            self.present()

    def _drawn(self, generator: np.random.Generator) -> np.ndarray:
        order = self._rows.copy()
        generator.shuffle(order)  # as `permutation` does, which looks at what it is given for longer
        return order

    def _keep(self) -> None:
        self._kept, self._since = self._generator.bit_generator.state, 0  # since then, so many orders were drawn
