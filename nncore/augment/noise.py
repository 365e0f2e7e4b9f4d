"""Each number of an item plus `deviation` times a normal one: Gaussian noise, in the units of the preprocessed inputs.

The normal distribution is taken as 4,096 straight pieces of its quantile function, scaled so that the deviation is exact: no number lies
beyond 4.2 deviations, and the distribution function is nowhere off by more than 1e-4.

    {"type": "noise", "deviation": 0.1}

Source: Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", 1995.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import sqrt
from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from nncore.augment.augmentation import Augmentation
from nncore.augment.draws import bits_of, key_of
from nncore.definition import shown
from nncore.machine.kernels import ROWS, Array, Op, jit, kernel, view
from nncore.machine.plan import Plan, Value

PIECES = 4096


class Noise(Augmentation):
    """Blurs what does not matter, so that a network does not learn rows by heart."""

    model_config = shown(type="noise", deviation=0.05)

    type: Literal["noise"] = "noise"
    deviation: Annotated[float, Field(gt=0, le=1e30, description="Of the noise, in the units of the preprocessed inputs.")] = 0.1

    def lower(self, plan: Plan, x: Value) -> Value:
        table = plan.constant(*(self.deviation * quantile for quantile in quantiles()))
        plan.forward.append((noise, x.at, x.size, plan.random_layer(), table))
        return x


@cache
def quantiles() -> tuple[float, ...]:
    """PIECES + 1 numbers: between each two of them a normal number lies equally often."""
    normal = NormalDist()
    inner = [normal.inv_cdf(at / PIECES) for at in range(1, PIECES)]
    end = normal.inv_cdf(1 - 1 / (16 * PIECES))
    ends = [-end, *inner, end]
    variance = sum((a * a + a * b + b * b) / 3 for a, b in pairwise(ends)) / PIECES
    return tuple(each / sqrt(variance) for each in ends)


@kernel
def noise(op: Op, arena: Array, integers: Array) -> None:
    """Adds to x, two numbers from each hash."""
    x_at, item_size, number, table_at = op[:4]
    size, kind, u64 = integers[ROWS] * item_size, arena.dtype.type, np.uint64
    x, table, key = view(arena, x_at, size), view(arena, table_at, PIECES + 1), key_of(integers, number)
    half, step = size // 2, kind(2.0**-20)
    one, other = x[:half], x[half : 2 * half]
    for i in range(half):
        bits = bits_of(key, i)
        one[i] += _drawn(bits >> u64(32), table, step)
        other[i] += _drawn(bits & u64(0xFFFFFFFF), table, step)
    if size % 2:
        x[size - 1] += _drawn(bits_of(key, half) >> u64(32), table, step)


@jit
def _drawn(word: Any, table: Array, step: Any) -> Any:
    """A number of 32 bits: twelve of them choose the piece (unsigned: an index that cannot be negative), the others where it is in it."""
    piece = word >> np.uint64(20)
    low, high = table[piece], table[piece + np.uint64(1)]
    return low + (high - low) * (table.dtype.type(np.int64(word & np.uint64(0xFFFFF))) * step)
