"""The functions that bend. Formulas and constants are PyTorch's defaults.

    sigmoid     1 / (1 + e^-x)                      leaky_relu  x above 0, else 0.01 x
    tanh        tanh(x)                             elu         x above 0, else e^x - 1
    relu        max(x, 0), slope 0 at 0             selu        1.0507 (x above 0, else 1.6733 (e^x - 1))
    softmax     e^x / sum of e^x                    gelu        x Phi(x), Phi: the normal distribution
    log_softmax x - ln(sum of e^x)                  gelu_tanh   gelu with Phi by a tanh, up to 4.7e-4 from it
    step        1 above 0, else 0                   softplus    ln(1 + e^x)
    linear      x                                   silu        x / (1 + e^-x)

For those on the left `activate` works in place on the pre-activations; backward needs only what came out (the derivatives of all of them
can be written by it), and turns the gradient of the outputs into that of the pre-activations, in place. Those on the right need what came
in, too: `bend` keeps it. `step` is Heaviside's, 0 at exactly the threshold. Its slope is zero everywhere, so it is for inference only.

Sources: Maas et al. 2013 (leaky_relu), Clevert et al. arXiv 1511.07289 (elu), Klambauer et al. arXiv 1706.02515 (selu), Hendrycks and
Gimpel arXiv 1606.08415 (gelu), Elfwing et al. arXiv 1702.03118 (silu).
"""

from __future__ import annotations

from math import erf, pi, sqrt
from typing import Literal

import numpy as np

from nncore.machine.exponential import exponential, log_probability, tangent
from nncore.machine.kernels import Array, jit, view

ElementwiseName = Literal[
    "linear", "sigmoid", "tanh", "relu", "step", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "softplus", "silu"
]  # fmt: skip
ActivationName = Literal[
    "linear", "sigmoid", "tanh", "relu", "softmax", "log_softmax", "step",
    "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "softplus", "silu",
]  # fmt: skip

LINEAR, SIGMOID, TANH, RELU, SOFTMAX, LOG_SOFTMAX, STEP = range(7)  # in place, by `activate`
LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SOFTPLUS, SILU = range(7, 14)  # by `bend`
ACTIVATION_CODES: dict[ActivationName, int] = {
    "linear": LINEAR,
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": RELU,
    "softmax": SOFTMAX,
    "log_softmax": LOG_SOFTMAX,
    "step": STEP,
    "leaky_relu": LEAKY_RELU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "gelu_tanh": GELU_TANH,
    "softplus": SOFTPLUS,
    "silu": SILU,
}

NEGATIVE_SLOPE = 0.01
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
ROOT_HALF, ROOT_2_BY_PI, CUBE, DENSITY = sqrt(0.5), sqrt(2 / pi), 0.044715, 1 / sqrt(2 * pi)


@jit
def activate(code: int, y: Array) -> None:
    """y (rows, units): pre-activations, overwritten with the activations."""
    rows, units = y.shape
    flat, zero, one = view(y, 0, rows * units), y.dtype.type(0), y.dtype.type(1)
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
    elif code == LOG_SOFTMAX:
        for row in range(rows):
            z, top, total = y[row], y[row, 0], zero
            for j in range(units):
                top = max(top, z[j])
            for j in range(units):
                total += exponential(z[j] - top)
            log_total = np.log(total)
            for j in range(units):
                z[j] = log_probability(z[j], top, log_total)
    elif code == STEP:
        for i in range(flat.size):
            flat[i] = one if flat[i] > zero else zero


@jit
def activate_backward(code: int, y: Array, dy: Array) -> None:
    """y (rows, units): the activations. dy: the gradient of y, overwritten with that of the pre-activations."""
    rows, units = y.shape
    flat, slope, zero, one = view(y, 0, rows * units), view(dy, 0, rows * units), y.dtype.type(0), y.dtype.type(1)
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
    elif code == LOG_SOFTMAX:
        for row in range(rows):
            z, dz, total = y[row], dy[row], zero
            for j in range(units):
                total += dz[j]
            for j in range(units):
                dz[j] -= exponential(z[j]) * total


@jit
def bend(code: int, x: Array, y: Array) -> None:
    """y = f(x), both flat, for the activations whose gradient needs what came in."""
    kind = x.dtype.type
    zero, half, one, two = kind(0), kind(0.5), kind(1), kind(2)
    if code == LEAKY_RELU:
        for i in range(x.size):
            y[i] = x[i] if x[i] > zero else kind(NEGATIVE_SLOPE) * x[i]
    elif code in (ELU, SELU):
        scale, alpha = (kind(SELU_SCALE), kind(SELU_ALPHA)) if code == SELU else (one, one)
        for i in range(x.size):
            t = tangent(half * x[i])  # e^x - 1 = 2 t / (1 - t): no digits are lost near 0
            y[i] = scale * (x[i] if x[i] > zero else alpha * two * t / (one - t))
    elif code == GELU:
        for i in range(x.size):
            y[i] = half * x[i] * (one + kind(erf(x[i] * kind(ROOT_HALF))))
    elif code == GELU_TANH:
        for i in range(x.size):
            y[i] = half * x[i] * (one + tangent(kind(ROOT_2_BY_PI) * (x[i] + kind(CUBE) * x[i] * x[i] * x[i])))
    elif code == SOFTPLUS:
        for i in range(x.size):
            y[i] = max(x[i], zero) + np.log1p(exponential(-np.abs(x[i])))
    elif code == SILU:
        for i in range(x.size):
            y[i] = x[i] / (one + exponential(-x[i]))


@jit
def bend_backward(code: int, x: Array, dy: Array, dx: Array) -> None:
    """dx = f'(x) dy, all flat."""
    kind = x.dtype.type
    zero, half, one, three = kind(0), kind(0.5), kind(1), kind(3)
    if code == LEAKY_RELU:
        for i in range(x.size):
            dx[i] = dy[i] if x[i] > zero else kind(NEGATIVE_SLOPE) * dy[i]
    elif code in (ELU, SELU):
        scale, alpha = (kind(SELU_SCALE), kind(SELU_ALPHA)) if code == SELU else (one, one)
        for i in range(x.size):
            dx[i] = scale * dy[i] * (one if x[i] > zero else alpha * exponential(x[i]))
    elif code == GELU:
        for i in range(x.size):
            below = half * (one + kind(erf(x[i] * kind(ROOT_HALF))))
            dx[i] = dy[i] * (below + x[i] * kind(DENSITY) * exponential(-half * x[i] * x[i]))
    elif code == GELU_TANH:
        for i in range(x.size):
            square = x[i] * x[i]
            t = tangent(kind(ROOT_2_BY_PI) * x[i] * (one + kind(CUBE) * square))
            slope = kind(ROOT_2_BY_PI) * (one + three * kind(CUBE) * square)
            dx[i] = dy[i] * half * (one + t + x[i] * (one - t * t) * slope)
    elif code == SOFTPLUS:
        for i in range(x.size):
            dx[i] = dy[i] / (one + exponential(-x[i]))
    elif code == SILU:
        for i in range(x.size):
            share = one / (one + exponential(-x[i]))
            dx[i] = dy[i] * share * (one + x[i] * (one - share))
