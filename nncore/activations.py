"""The functions that bend: linear, sigmoid, tanh, relu, softmax, step.

Forward works in place on the pre-activations; backward needs only what came out (the derivatives of all of them can be written by it),
and turns the gradient of the outputs into that of the pre-activations, in place. The derivative of relu at 0 is 0.
`step` is Heaviside's: 1 above 0, else 0 (0 at exactly the threshold). Its slope is zero everywhere, so it is for inference only.
"""

from __future__ import annotations

from typing import Literal

from nncore.machine.exponential import exponential, tangent
from nncore.machine.kernels import Array, jit

ActivationName = Literal["linear", "sigmoid", "tanh", "relu", "softmax", "step"]

LINEAR, SIGMOID, TANH, RELU, SOFTMAX, STEP = range(6)
ACTIVATION_CODES: dict[ActivationName, int] = {
    "linear": LINEAR,
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": RELU,
    "softmax": SOFTMAX,
    "step": STEP,
}


@jit
def activate(code: int, y: Array) -> None:
    """y (rows, units): pre-activations, overwritten with the activations."""
    rows, units = y.shape
    flat, zero, one = y.reshape(rows * units), y.dtype.type(0), y.dtype.type(1)
    if code == SIGMOID:
        for i in range(flat.size):
            flat[i] = one / (one + exponential(-flat[i]))
    elif code == TANH:
        for i in range(flat.size):
            flat[i] = tangent(flat[i])
    elif code == RELU:
        for i in range(flat.size):
            flat[i] = zero if flat[i] < zero else flat[i]
    elif code == SOFTMAX:
        for row in range(rows):
            z, top, total = y[row], y[row, 0], zero
            for j in range(units):
                top = max(top, z[j])
            for j in range(units):
                z[j] = exponential(z[j] - top)
                total += z[j]
            share = one / total
            for j in range(units):
                z[j] *= share
    elif code == STEP:
        for i in range(flat.size):
            flat[i] = one if flat[i] > zero else zero


@jit
def activate_backward(code: int, y: Array, dy: Array) -> None:
    """y (rows, units): the activations. dy: the gradient of y, overwritten with that of the pre-activations."""
    rows, units = y.shape
    flat, slope, zero, one = y.reshape(rows * units), dy.reshape(rows * units), y.dtype.type(0), y.dtype.type(1)
    if code == SIGMOID:
        for i in range(flat.size):
            slope[i] *= flat[i] * (one - flat[i])
    elif code == TANH:
        for i in range(flat.size):
            slope[i] *= one - flat[i] * flat[i]
    elif code == RELU:
        for i in range(flat.size):
            slope[i] = slope[i] if flat[i] > zero else zero
    elif code == SOFTMAX:
        for row in range(rows):
            z, dz, along = y[row], dy[row], zero
            for j in range(units):
                along += dz[j] * z[j]
            for j in range(units):
                dz[j] = z[j] * (dz[j] - along)
