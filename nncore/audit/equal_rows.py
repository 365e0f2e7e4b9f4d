"""equal_rows: which rows of some columns are equal. Rows are sorted by a hash of 64 bits and then compared, so that it is exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nncore.table import Column

_CELLS_AT_ONCE = 2**20


def equal_rows(columns: Sequence[Column]) -> np.ndarray:
    """For each row the number of its group, (rows,) int64: equal rows, and only they, are of one group. Missing numbers are equal."""
    rows = len(columns[0].values)
    hashes = np.zeros(rows, np.uint64)
    generator = np.random.default_rng(1)
    for column in columns:
        flat = column.values.reshape(rows, -1)
        factors = generator.integers(1, 2**63, flat.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        for at, block in _blocks(flat):
            bits = (block.astype(np.float64) + 0.0).view(np.uint64)  # + 0.0: of the two zeros, one
            bits ^= bits >> np.uint64(32)  # small whole numbers differ in their upper bits alone
            bits *= factors
            bits ^= bits >> np.uint64(29)
            hashes[at : at + len(block)] += (bits * np.uint64(0xBF58476D1CE4E5B9)).sum(axis=1, dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    same = np.concatenate([[False], hashes[order[1:]] == hashes[order[:-1]]])
    likely = np.flatnonzero(same)
    for column in columns:
        flat = column.values.reshape(rows, -1)
        step = max(1, _CELLS_AT_ONCE // flat.shape[1])
        for at in range(0, len(likely), step):
            here = likely[at : at + step]
            left, right = flat[order[here]], flat[order[here - 1]]
            same[here] &= ((left == right) | ((left != left) & (right != right))).all(axis=1)
    group_of = np.empty(rows, np.int64)
    group_of[order] = np.cumsum(~same) - 1
    return group_of


def _blocks(flat: np.ndarray):  # type: ignore[no-untyped-def]
    step = max(1, _CELLS_AT_ONCE // flat.shape[1])
    return ((at, flat[at : at + step]) for at in range(0, len(flat), step))
