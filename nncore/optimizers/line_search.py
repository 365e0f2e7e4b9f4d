"""A step length along a direction that satisfies the strong Wolfe conditions: lower enough, and flat enough.

    value(t) <= value(0) + 1e-4 t slope(0)   and   |slope(t)| <= 0.9 |slope(0)|

First lengths grow until such a one is found or passed; then the bracket is narrowed by cubic interpolation. The same numbers as
torch.optim.LBFGS with line_search_fn "strong_wolfe" tries, but where a value is not finite the bracket is halved (torch goes astray).

Source: Nocedal, Wright, Numerical Optimization (2006), algorithms 3.5 and 3.6, equation 3.59.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np

LOWER, FLATTER = 1e-4, 0.9


class Trial(NamedTuple):
    """What was found at a length: value, gradient (n,), and slope along the direction. A value that is not finite is infinite."""

    length: float
    value: float
    gradient: np.ndarray
    slope: float


def strong_wolfe(look: Callable[[float], Trial], start: Trial, length: float, reach: float, least_change: float, most: int) -> Trial:
    """The trial to accept; `start` itself where nothing lower was found.

    look: evaluates a length. length: tried first. reach: the largest number of the direction; a bracket in which no parameter would
    change by least_change is narrowed no further. most: so many more lengths are tried after the first.
    """
    before, now, used = start, look(length), 0
    while True:
        if used >= most:
            return start if start.value <= now.value else now
        if _too_high(now, start) or (used > 1 and now.value >= before.value) or (now.slope >= 0 and not _flat(now, start)):
            break
        if _flat(now, start):
            return now
        length = _interpolated(before, now, now.length + 0.01 * (now.length - before.length), now.length * 10)
        before, now, used = now, look(length), used + 1
    return _zoomed(look, start, [before, now], reach, least_change, most - used)


def _zoomed(look: Callable[[float], Trial], start: Trial, pair: list[Trial], reach: float, least_change: float, most: int) -> Trial:
    """The best of a bracket of two trials, narrowed."""
    low, stuck = 0 if pair[0].value <= pair[1].value else 1, False
    for _ in range(most):
        bottom, top = sorted(trial.length for trial in pair)
        if (top - bottom) * reach < least_change:
            break
        length, margin = _interpolated(pair[0], pair[1], bottom, top), 0.1 * (top - bottom)
        near = min(top - length, length - bottom) < margin
        if near and (stuck or length >= top or length <= bottom):
            length, near = (top - margin if abs(length - top) < abs(length - bottom) else bottom + margin), False
        stuck, now, high = near, look(length), 1 - low
        if _too_high(now, start) or now.value >= pair[low].value:
            pair[high] = now
            low = 0 if pair[0].value <= pair[1].value else 1
        elif _flat(now, start):
            return now
        else:
            if now.slope * (pair[high].length - pair[low].length) >= 0:
                pair[high] = pair[low]
            pair[low] = now
    return pair[low]


def _too_high(trial: Trial, start: Trial) -> bool:
    return trial.value > start.value + LOWER * trial.length * start.slope


def _flat(trial: Trial, start: Trial) -> bool:
    return abs(trial.slope) <= -FLATTER * start.slope


def _interpolated(first: Trial, second: Trial, bottom: float, top: float) -> float:
    """Where the cubic through two values and slopes has its minimum, within [bottom, top]; the middle where it has none."""
    (x1, f1, _, g1), (x2, f2, _, g2) = first, second
    if isfinite(f1) and isfinite(f2):
        d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
        square = d1 * d1 - g1 * g2
        if square >= 0:
            d2 = sqrt(square)
            if x1 <= x2:
                divided, by, at, width = g2 + d2 - d1, g2 - g1 + 2 * d2, x2, x2 - x1
            else:
                divided, by, at, width = g1 + d2 - d1, g1 - g2 + 2 * d2, x1, x1 - x2
            if by != 0:
                return min(max(at - width * (divided / by), bottom), top)
    return (bottom + top) / 2
