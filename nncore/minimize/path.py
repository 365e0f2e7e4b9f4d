"""The way a search went, in a bounded number of points: the first, the last, and between them every so many steps.

While it grows, every other point is dropped whenever there are too many, and from then on only every second is taken. So how many
steps there will be need not be known, and which points are kept depends on the steps alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class PathPoint:
    """Where the search was after `step` updates, and the value of the expression there."""

    step: int
    value: float
    variables: dict[str, float]


class Path:
    """At most `max_points` (2 or more) of the points that were added, the last one included."""

    def __init__(self, variables: Sequence[str], max_points: int) -> None:
        self._variables, self._most = tuple(variables), max_points - 1  # one place is the last point's
        self._stride = 1
        self._kept: list[tuple[int, float, list[float]]] = []
        self._last: tuple[int, float, list[float]] = (0, 0.0, [])

    def add(self, step: int, value: float, point: list[float]) -> None:
        """The point after `step` updates; steps come one after the other, from 0 on."""
        self._last = (step, value, point)
        if step % self._stride == 0:
            self._kept.append(self._last)
            if len(self._kept) > self._most:
                self._stride *= 2
                self._kept = [kept for kept in self._kept if kept[0] % self._stride == 0]

    def points(self) -> tuple[PathPoint, ...]:
        """What was kept, in order; without one twice."""
        last = [] if self._kept and self._kept[-1][0] == self._last[0] else [self._last]
        return tuple(self.point_of(*kept) for kept in [*self._kept, *last])

    def point_of(self, step: int, value: float, point: Sequence[float]) -> PathPoint:
        return PathPoint(step, value, dict(zip(self._variables, point, strict=True)))

    def state(self) -> dict[str, np.ndarray]:
        """As arrays: path_steps (n,), path_values (n,), path_points (n, variables); the last row is the last point."""
        rows = [*self._kept, self._last]
        return {
            "path_steps": np.array([self._stride, *(row[0] for row in rows)], dtype=np.int64),
            "path_values": np.array([row[1] for row in rows]),
            "path_points": np.array([row[2] for row in rows]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from where `state` was taken."""
        self._stride, *steps = state["path_steps"].tolist()
        rows = list(zip(steps, state["path_values"].tolist(), state["path_points"].tolist(), strict=True))
        *self._kept, self._last = rows
