"""What may happen between gradient and update, whatever the optimizer: a penalty, clipping, and decay beside it.

    negate      g = -g                                       to maximise
    penalise    g += l1 sign(p) + l2 p                       (sign(0) is 0)
    clip_norm   g *= min(1, most / (|g| + 1e-6))             |g|: the Euclidean norm over all parameters
    clip_value  g = min(max(g, -most), most)
    decay       p -= rate weight_decay p                     decoupled: it does not go through the optimizer's formula

Both clippings are those of torch.nn.utils. Sources: Pascanu et al., "On the difficulty of training recurrent neural networks", 2013;
Loshchilov, Hutter, "Decoupled weight decay regularization", 2019 (arXiv 1711.05101).
"""

from __future__ import annotations

import numpy as np

from nncore.machine.kernels import DECAY, Array, Op, kernel, view

BLOCK = 1024
"""Squares are added up in blocks of so many: one long float32 sum would lose digits."""


@kernel
def negate(op: Op, arena: Array, integers: Array) -> None:
    gradients_at, size = op[:2]
    gradients = view(arena, gradients_at, size)
    for i in range(size):
        gradients[i] = -gradients[i]


@kernel
def penalise(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, gradients_at, size, constants_at = op[:4]
    parameters, gradients, constants = view(arena, parameters_at, size), view(arena, gradients_at, size), view(arena, constants_at, 2)
    l1, l2, zero = constants[0], constants[1], arena.dtype.type(0)
    for i in range(size):
        p = parameters[i]
        side = l1 if p > zero else (-l1 if p < zero else zero)
        gradients[i] += side + l2 * p


@kernel
def clip_norm(op: Op, arena: Array, integers: Array) -> None:
    """Divides by the largest number before squaring, so that no square overflows."""
    gradients_at, size, constants_at = op[:3]
    gradients, constants, kind = view(arena, gradients_at, size), view(arena, constants_at, 2), arena.dtype.type
    most, small, one = constants[0], constants[1], kind(1)
    largest, total = kind(0), kind(0)
    for i in range(size):
        largest = max(largest, np.abs(gradients[i]))
    if largest > kind(0):
        for first in range(0, size, BLOCK):
            block, squares = gradients[first : min(first + BLOCK, size)], kind(0)
            for i in range(block.size):
                part = block[i] / largest
                squares += part * part
            total += squares
        share = min(one, most / (largest * np.sqrt(total) + small))
        for i in range(size):
            gradients[i] *= share


@kernel
def clip_value(op: Op, arena: Array, integers: Array) -> None:
    gradients_at, size, constants_at = op[:3]
    gradients, most = view(arena, gradients_at, size), arena[constants_at]
    for i in range(size):
        gradients[i] = min(max(gradients[i], -most), most)


@kernel
def decay(op: Op, arena: Array, integers: Array) -> None:
    parameters_at, size = op[:2]
    parameters, part = view(arena, parameters_at, size), arena[DECAY]
    for i in range(size):
        parameters[i] -= part * parameters[i]
