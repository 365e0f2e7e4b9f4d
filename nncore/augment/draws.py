"""What augmentations draw: bits that are a hash of (seed, batch, augmentation, number), so there is no stream to save or to resume.

The hash is splitmix64 (Steele, Lea, Flood, 2014), as that of dropout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.machine.kernels import FIRST_ROW, SEED, STEP, Array, jit

MIXUP = 2**40
"""The number of mixup, which no other has: there is one at most in a plan, and three kernels have to draw alike."""


@jit
def key_of(integers: Array, number: int) -> Any:
    """What the draws of one augmentation in the present batch begin with. number: from `plan.random_layer()`, or MIXUP."""
    u64 = np.uint64
    key = u64(integers[SEED]) * u64(0x9E3779B97F4A7C15) + u64(integers[STEP]) * u64(0xD1B54A32D192ED03)
    key += u64(number) * u64(0x8CB92BA72F3D8DD7) + u64(integers[FIRST_ROW]) * u64(0xABC98388FB8FAC03)
    return (key ^ (key >> u64(32))) * u64(0xBF58476D1CE4E5B9)


@jit
def bits_of(key: Any, number: int) -> Any:
    """64 bits."""
    u64 = np.uint64
    bits = key + u64(number) * u64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> u64(27))) * u64(0x94D049BB133111EB)
    return bits ^ (bits >> u64(31))


@jit
def below(bits: Any, size: int) -> Any:
    """A whole number from 0 to size - 1 (less than 2**31), from the upper half of some bits."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))
