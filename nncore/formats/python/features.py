"""Preprocessing of columns in plain numpy: the source of these functions is written into scripts that use them."""

from __future__ import annotations

import re

import numpy as np

from nncore.formats.python.reading import numbers_of


def by_column(inputs: dict | list, names: list) -> dict:
    """Columns by name. inputs: those, or a list of rows, each a list of one value for each column (of a single column, the value)."""
    if not isinstance(inputs, dict):
        inputs = {names[0]: inputs} if len(names) == 1 else dict(zip(names, zip(*inputs, strict=True), strict=True))
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(f"expected the columns {names}; missing: {missing}")
    return inputs


def as_numbers(values: list, count: int, may_miss: bool = False) -> np.ndarray:
    """A column of numbers: (rows, count) float64. may_miss: NaN, or None, may stand there."""
    x = numbers_of(values)
    x = x.reshape(len(x), -1)
    if x.shape[1] != count or np.isinf(x).any() or (np.isnan(x).any() and not may_miss):
        raise ValueError(f"expected {count} finite numbers in a row of a column, got {x.shape[1]}, or NaN or infinity")
    return x


def one_hot(values: list, categories: list, refuse_unknown: bool) -> np.ndarray:
    """1 at the place of the row's category, else 0. A place of None is 0 for ever. A text that is missing, None, is the empty text."""
    place = {category: at for at, category in enumerate(categories) if category is not None}
    features = np.zeros((len(values), len(categories)))
    of_texts = isinstance(next(iter(place), ""), str)
    for row, value in enumerate(["" if text is None else text for text in values] if of_texts else np.ravel(values).tolist()):
        if value in place:
            features[row, place[value]] = 1
        elif refuse_unknown:
            raise ValueError(f"row {row + 1}: expected a category of the training rows, got {value!r}")
    return features


def bag_of_words(texts: list, size: int, lower_case: bool, unit_length: bool) -> np.ndarray:
    """How often each word stands in each text: a hash of the word says at which of `size` places, and with which sign, it counts."""
    features = np.zeros((len(texts), size))
    for row, text in enumerate("" if text is None else text for text in texts):
        for word in re.findall(r"\b\w\w+\b", text.lower() if lower_case else text):
            found = murmur3(word.encode("utf-8"))
            features[row, abs(found) % size] += 1 if found >= 0 else -1
    if unit_length:
        lengths = np.sqrt((features**2).sum(axis=1, keepdims=True))
        features = features / np.where(lengths > 0, lengths, 1)
    return features.astype(np.float32).astype(np.float64)


def murmur3(data: bytes) -> int:
    """MurmurHash3 (32 bits, seed 0) as a signed number. Source: A. Appleby, 2011."""
    every, h = 0xFFFFFFFF, 0
    for at in range(0, len(data), 4):
        k = int.from_bytes(data[at : at + 4], "little") * 0xCC9E2D51 & every
        h ^= (k << 15 | k >> 17) * 0x1B873593 & every
        if at + 4 <= len(data):
            h = ((h << 13 | h >> 19) * 5 + 0xE6546B64) & every
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & every
    h = (h ^ h >> 13) * 0xC2B2AE35 & every
    h ^= h >> 16
    return h - 2**32 if h >= 2**31 else h


def log_mel(x: np.ndarray, window: int, hop: int, filters: np.ndarray, floor: float, channels_first: bool) -> np.ndarray:
    """The logarithm of a sound's energy in bands, frame by frame. x: (rows, samples); filters: (bins of the spectrum, bands)."""
    frames = np.lib.stride_tricks.sliding_window_view(x, window, axis=1)[:, ::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    energies = np.log(np.maximum(power @ filters, floor)).astype(np.float32)
    return (energies.transpose(0, 2, 1) if channels_first else energies).reshape(len(x), -1).astype(np.float64)
