"""Activations in plain numpy: the source of these functions is written into scripts that use them.

They need numpy and each other, nothing else of this package, and keep the dtype of x.
"""

from __future__ import annotations

import math

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x), from 0 to 1. Only e to a negative number is ever computed, so nothing overflows."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def tanh(x: np.ndarray) -> np.ndarray:
    """From -1 to 1."""
    return np.tanh(x)


def relu(x: np.ndarray) -> np.ndarray:
    """x where it is positive, else 0."""
    return np.maximum(x, 0)


def softmax(x: np.ndarray) -> np.ndarray:
    """e^x / sum of e^x along the last axis: positive numbers that sum to 1. The largest x is taken away first, against overflow."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    """The logarithms of what softmax gives."""
    below = x - x.max(axis=-1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def step(x: np.ndarray) -> np.ndarray:
    """1 where x is positive, else 0."""
    return (x > 0).astype(x.dtype)


def leaky_relu(x: np.ndarray) -> np.ndarray:
    """x where it is positive, else a hundredth of it."""
    return np.where(x > 0, x, 0.01 * x)


def elu(x: np.ndarray) -> np.ndarray:
    """x where it is positive, else e^x - 1."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def selu(x: np.ndarray) -> np.ndarray:
    """A scaled elu, whose constants keep mean 0 and variance 1 from layer to layer."""
    scale, alpha = 1.0507009873554804934, 1.6732632423543772848
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the probability that a normally distributed number is below x."""
    erf = np.vectorize(math.erf, otypes=[float])(x * math.sqrt(0.5))
    return 0.5 * x * (1 + erf.astype(x.dtype))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """gelu, the probability approximated by a tanh."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softplus(x: np.ndarray) -> np.ndarray:
    """ln(1 + e^x), a smooth relu."""
    return np.logaddexp(x, 0).astype(x.dtype)


def silu(x: np.ndarray) -> np.ndarray:
    """x times sigmoid(x)."""
    return x * sigmoid(x)
