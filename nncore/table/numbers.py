"""Which dtype holds the numbers of a CSV column as they were written.

Whole numbers beyond 2**24 become int64. Else a column is float32 where that gives every number back as it was written: the
shortest decimal text that means the float32 is the number. So it is for up to six digits, for most numbers of seven, and for
whatever a program has written that had float32 itself. Timestamps, ids and measurements with more digits, and numbers beyond
float32's range, make the column float64.
"""

from __future__ import annotations

import numpy as np

EXACT_IN_FLOAT32 = 2.0**24
EXACT_IN_FLOAT64 = 2.0**53
BEYOND_INT64 = 2.0**63

_POWERS = 10.0 ** np.arange(64)
_NUMBERS_AT_ONCE = 2**15  # what is computed on the way stays in the processor's cache
_DIGITS = (6, 7, 8, 9)
"""Six digits always survive float32, and nine tell any two of them apart."""


def as_written(narrow: np.ndarray) -> np.ndarray:
    """Each float32 as the float64 nearest to its shortest decimal text: 0.1 for float32(0.1), not 0.10000000149011612.

    Within float32's normal range; a smaller number comes out as some other number near it.
    """
    narrow = narrow.reshape(-1)
    written = _rounded(narrow, _DIGITS[0])
    for digits in _DIGITS[1:]:
        with np.errstate(over="ignore"):  # the largest float32 is rounded beyond it
            others = np.flatnonzero(written.astype(np.float32) != narrow)
        if not others.size:
            break
        written[others] = _rounded(narrow[others], digits)
    return written


def _rounded(numbers: np.ndarray, digits: int) -> np.ndarray:
    """The numbers to so many significant digits, in float64."""
    exact = numbers.astype(np.float64)
    places = digits - 1 - np.floor(np.log10(np.maximum(np.abs(exact), 1e-45))).astype(np.int64)  # behind the decimal point
    up, down = _POWERS[np.maximum(places, 0)], _POWERS[np.maximum(-places, 0)]
    rounded: np.ndarray = np.rint(exact * up / down) / up * down
    return rounded


def survives_float32(values: np.ndarray) -> np.ndarray:
    """Of float64 (columns, rows), for each column: whether float32 gives every number back as it was written."""
    at_once = max(1, _NUMBERS_AT_ONCE // values.shape[1])
    return np.concatenate([_survive(values[at : at + at_once]) for at in range(0, len(values), at_once)])


def _survive(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    narrow[np.isinf(narrow)] = 0  # which is another number
    survives: np.ndarray = (as_written(narrow).reshape(values.shape) == values).all(axis=1)
    return survives
