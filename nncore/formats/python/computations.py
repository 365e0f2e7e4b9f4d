"""Layers in plain numpy: the source of these functions is written into scripts that use them.

They need numpy, each other and the activations, nothing else of this package. Rows come first in every array.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nncore.formats.python.activations import sigmoid


def dense(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Every output is a weighted sum of every input. x: (rows, inputs); weight: (units, inputs); the answer: (rows, units)."""
    sums = x @ weight.T
    return sums if bias is None else sums + bias


def windows(x: np.ndarray, kernel: tuple, strides: tuple, pads: tuple, dilations: tuple, fill: float) -> np.ndarray:
    """Every window onto x (rows, channels, *axes): (rows, channels, *places of windows, *places within a window).

    pads: numbers of value `fill` (before, after) each axis; strides: from one window to the next; dilations: within a window.
    """
    padded = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    every = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=tuple(range(2, x.ndim)))
    every_so_many = (slice(None, None, step) for step in (*strides, *dilations))
    return every[(slice(None), slice(None), *every_so_many)]


def convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, strides: tuple, pads: tuple, dilations: tuple, groups: int
) -> np.ndarray:
    """The same small window of weights slides over a sequence or a picture. weight: (filters, channels / groups, *kernel)."""
    kernel = weight.shape[2:]
    views = windows(x, kernel, strides, pads, dilations, 0)
    axes = list(range(2 + len(kernel), views.ndim))  # within a window
    answers = []
    for views_of_group, weight_of_group in zip(np.split(views, groups, axis=1), np.split(weight, groups), strict=True):
        sums = np.tensordot(views_of_group, weight_of_group, axes=([1, *axes], list(range(1, weight.ndim))))
        answers.append(np.moveaxis(sums, -1, 1))  # filters behind rows
    y = np.concatenate(answers, axis=1)
    return y if bias is None else y + bias.reshape(-1, *(1 for _ in kernel))


def max_pool(x: np.ndarray, kernel: tuple, strides: tuple, pads: tuple, dilations: tuple) -> np.ndarray:
    """The largest number in each window, channel by channel."""
    return windows(x, kernel, strides, pads, dilations, -np.inf).max(axis=tuple(range(-len(kernel), 0)))


def average_pool(x: np.ndarray, kernel: tuple, strides: tuple, pads: tuple, dilations: tuple, count_include_pad: bool) -> np.ndarray:
    """The mean of each window, channel by channel; of what lies in x, unless padding counts, too."""
    axes = tuple(range(-len(kernel), 0))
    sums = windows(x, kernel, strides, pads, dilations, 0).sum(axis=axes)
    if count_include_pad:
        return sums / math.prod(kernel)
    return sums / windows(np.ones_like(x), kernel, strides, pads, dilations, 0).sum(axis=axes)


def batch_norm(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, epsilon: float, weight: np.ndarray | None = None, bias: np.ndarray | None = None
) -> np.ndarray:
    """Every channel less the mean, divided by the deviation that it had while training. x: (rows, channels, *axes)."""
    along_channels = (-1, *(1 for _ in x.shape[2:]))
    y = (x - mean.reshape(along_channels)) / np.sqrt(variance + epsilon).reshape(along_channels)
    return y if weight is None or bias is None else y * weight.reshape(along_channels) + bias.reshape(along_channels)


def layer_norm(x: np.ndarray, axes: tuple, epsilon: float, weight: np.ndarray | None = None, bias: np.ndarray | None = None) -> np.ndarray:
    """Every item by itself: less its mean, divided by its deviation, both over `axes`."""
    aside = x - x.mean(axis=axes, keepdims=True)
    y = aside / np.sqrt((aside * aside).mean(axis=axes, keepdims=True) + epsilon)
    return y if weight is None or bias is None else y * weight + bias


def masked_mean(x: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean of the steps that count, 0 where none does. x: (rows, steps, features); counts: (rows, steps), true or false."""
    total = np.where(counts[:, :, None], x, 0).sum(axis=1)
    return total / np.maximum(counts.sum(axis=1, keepdims=True), 1).astype(x.dtype)


def lstm(x: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: np.ndarray, bias_hh: np.ndarray) -> np.ndarray:
    """The state h after every step: (rows, steps, units). x: (rows, steps, features). Gates lie in the order i, f, g, o."""
    h = c = np.zeros((len(x), weight_hh.shape[1]), x.dtype)
    states = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)  # f: what is kept; i: what is written of g
        h = sigmoid(o) * np.tanh(c)  # o: what is shown
        states.append(h)
    return np.stack(states, axis=1)


def gru(x: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: np.ndarray, bias_hh: np.ndarray) -> np.ndarray:
    """The state h after every step: (rows, steps, units). x: (rows, steps, features). Gates lie in the order r, z, n."""
    h = np.zeros((len(x), weight_hh.shape[1]), x.dtype)
    states = []
    for t in range(x.shape[1]):
        r_x, z_x, n_x = np.split(x[:, t] @ weight_ih.T + bias_ih, 3, axis=1)
        r_h, z_h, n_h = np.split(h @ weight_hh.T + bias_hh, 3, axis=1)
        z = sigmoid(z_x + z_h)  # what is kept
        n = np.tanh(n_x + sigmoid(r_x + r_h) * n_h)  # what is new
        h = (1 - z) * n + z * h
        states.append(h)
    return np.stack(states, axis=1)


def rnn(
    x: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias_ih: np.ndarray, bias_hh: np.ndarray, bend: Callable
) -> np.ndarray:
    """The state h after every step: (rows, steps, units). x: (rows, steps, features). bend: tanh or relu."""
    h = np.zeros((len(x), weight_hh.shape[1]), x.dtype)
    states = []
    for t in range(x.shape[1]):
        h = bend(x[:, t] @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh)
        states.append(h)
    return np.stack(states, axis=1)
