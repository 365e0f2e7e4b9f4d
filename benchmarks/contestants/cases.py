"""What is trained: networks in Sankofa's own words, and the rows they learn from. Every contestant translates them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Layers = list[dict[str, Any]]

ROWS = 6400
CLASSES = 10
VOCABULARY, WORDS = 10_000, 30
RATES = {"sgd": 0.1, "adam": 1e-3}


@dataclass(frozen=True)
class Case:
    """A network, its optimizer and its batches. The loss is softmax cross-entropy over ten classes, every time."""

    title: str
    input_shape: tuple[int, ...]
    hidden: Layers
    optimizer: str
    batch_size: int
    tokens: bool = False

    @property
    def layers(self) -> Layers:
        """All layers, with the one that answers."""
        return [*self.hidden, {"type": "dense", "units": CLASSES}]

    @property
    def is_dense(self) -> bool:
        """Whether a multi-layer perceptron can do it."""
        return all(layer["type"] == "dense" for layer in self.hidden)

    def data(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """inputs: (rows, *input_shape); tokens as whole numbers. labels: (rows,) int64."""
        random = np.random.default_rng(0)
        shape = (ROWS, *self.input_shape)
        inputs = random.integers(1, VOCABULARY, shape) if self.tokens else random.random(shape)
        return inputs.astype(dtype), random.integers(0, CLASSES, ROWS)

    def matrix_products(self) -> list[tuple[int, int, int]]:
        """(m, n, k) of every matrix product of a step of dense layers: forward, weight gradient, and input gradient but the first."""
        sizes = [self.input_shape[0], *(layer["units"] for layer in self.layers)]
        pairs = list(pairwise(sizes))
        rows = self.batch_size
        forward, weight = [(rows, to, of) for of, to in pairs], [(to, of, rows) for of, to in pairs]
        return [*forward, *weight, *((rows, of, to) for of, to in pairs[1:])]


def _dense(*units: int, activation: str = "relu") -> Layers:
    return [{"type": "dense", "units": each, "activation": activation} for each in units]


_PICTURES: Layers = [
    {"type": "reshape", "shape": [1, 28, 28]},
    {"type": "conv2d", "filters": 20, "kernel_size": 5, "activation": "relu"},
    {"type": "max_pool", "kernel_size": 2},
    {"type": "conv2d", "filters": 40, "kernel_size": 5, "activation": "relu"},
    {"type": "max_pool", "kernel_size": 2},
    {"type": "flatten"},
    *_dense(100),
]
_NORMALISED: Layers = [
    {"type": "reshape", "shape": [1, 28, 28]},
    {"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same"},
    {"type": "batch_norm"},
    {"type": "activation", "activation": "relu"},
    {"type": "max_pool", "kernel_size": 2},
    {"type": "conv2d", "filters": 32, "kernel_size": 3, "padding": "same"},
    {"type": "batch_norm"},
    {"type": "activation", "activation": "relu"},
    {"type": "max_pool", "kernel_size": 2},
    {"type": "flatten"},
]
_SENTENCES: Layers = [
    {"type": "embedding", "vocabulary": VOCABULARY, "dimensions": 64},
    {"type": "mean_over_sequence"},
    *_dense(32),
]

CASES = {
    "A": Case("784-30-10 sigmoid, SGD, batch 10", (784,), _dense(30, activation="sigmoid"), "sgd", 10),
    "B": Case("64-32-10, Adam, batch 32", (64,), _dense(32), "adam", 32),
    "C": Case("784-128-10, Adam, batch 128", (784,), _dense(128), "adam", 128),
    "D": Case("784-512-512-10, Adam, batch 128", (784,), _dense(512, 512), "adam", 128),
    "E": Case("784-2048-2048-10, Adam, batch 512", (784,), _dense(2048, 2048), "adam", 512),
    "conv-10": Case("20@5x5, pool, 40@5x5, pool, 100, 10, SGD, batch 10", (784,), _PICTURES, "sgd", 10),
    "conv-128": Case("the same, batch 128", (784,), _PICTURES, "sgd", 128),
    "conv-norm": Case("two of conv 3x3 same, batch norm, pool; Adam, batch 32", (784,), _NORMALISED, "adam", 32),
    "lstm": Case("LSTM 32 over 50 steps of 16, Adam, batch 32", (50, 16), [{"type": "lstm", "units": 32}], "adam", 32),
    "embedding": Case(f"embedding 10,000 x 64, mean of {WORDS}, 32, 10, Adam, batch 64", (WORDS,), _SENTENCES, "adam", 64, tokens=True),
}
