"""The memory of a layout: its arena and its whole numbers, with what never changes written in."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.machine.plan import Layout

ALIGNMENT_BYTES = 64


def memory_of(layout: Layout, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """(arena, integers), zeros but for the constants. The arena starts on a cache line."""
    bases = layout.bases()
    room = np.zeros(layout.arena_size + ALIGNMENT_BYTES // dtype.itemsize, dtype)
    arena = room[-room.ctypes.data % ALIGNMENT_BYTES // dtype.itemsize :][: layout.arena_size]
    for numbers, place in layout.constants.items():
        arena[bases["constants"] + place.offset :][: len(numbers)] = numbers
    for (number, count), place in layout.repeated.items():
        arena[bases["constants"] + place.offset :][:count] = number
    integers = np.zeros(layout.integers_size, np.int64)
    for whole_numbers, place in layout.geometry.items():
        integers[bases["geometry"] + place.offset :][: len(whole_numbers)] = whole_numbers
    return arena, integers
