"""Which rows are held out for validation."""

from __future__ import annotations

import numpy as np

from nncore.streams import stream


def validation_size(rows: int, fraction: float) -> int:
    """How many of `rows` are held out: the nearest to the fraction (half rounds up), at least one."""
    return max(1, int(rows * fraction + 0.5))


def split_rows(rows: int, fraction: float, seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, validation rows): positions, int64, ascending, drawn from the seed.

    With `labels` (rows,) every class gives nearly the same fraction of its rows (the split is stratified); the classes that
    round down the most give the rows that are then missing, and a class is not used up while another can give.
    """
    generator, held_out = stream(seed, "split"), validation_size(rows, fraction)
    order = generator.permutation(rows)
    if labels is None:
        return np.sort(order[held_out:]), np.sort(order[:held_out])

    _, class_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = sizes * (held_out / rows)
    taken = np.floor(wanted).astype(np.int64)
    usable = sizes - taken > 1
    neediest = np.lexsort((np.arange(len(sizes)), taken - wanted, ~usable))  # usable first, then the largest part cut off
    taken[neediest[: held_out - taken.sum()]] += 1

    shuffled = order[np.argsort(class_of[order], kind="stable")]  # class after class, each in random order
    place_in_class = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held = place_in_class < np.repeat(taken, sizes)
    return np.sort(shuffled[~held]), np.sort(shuffled[held])
