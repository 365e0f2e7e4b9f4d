"""Rows dealt to parts by whole groups: all rows of a speaker, a patient or a customer fall on one side."""

from __future__ import annotations

import numpy as np


class TooFewGroups(ValueError):
    """There are fewer groups than parts to deal them to."""


def deal_groups(
    groups: np.ndarray, labels: np.ndarray | None, shares: np.ndarray, generator: np.random.Generator, *, largest_first: bool = False
) -> np.ndarray:
    """(rows,) int64: the part of each row, from 0; rows of one group are of one part, and no part is empty.

    groups: (rows,). labels: (rows,), where every part is to have the classes in their proportions. shares: (parts,), which part of the
    rows each is to have, summing to 1; they are met as nearly as groups allow. Raises TooFewGroups where a part would be empty.

    Groups come in an order that is drawn, or the largest first, and each goes where the counts come nearest to what is wanted: the sum of
    the squared differences over parts and classes, each class measured by its rows.
    """
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < len(shares):
        raise TooFewGroups(f"{len(sizes):,} groups cannot be dealt to {len(shares):,} parts")
    class_of = np.zeros(len(groups), np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    classes = int(class_of.max()) + 1
    counts = np.bincount(group_of * classes + class_of, minlength=len(sizes) * classes).reshape(len(sizes), classes)
    totals = counts.sum(axis=0)
    order = generator.permutation(len(sizes))
    if largest_first:
        order = order[np.argsort(-sizes[order], kind="stable")]

    missing = np.repeat(shares[:, None], classes, axis=1)  # of each part and class, as a part of the class
    part_of = np.empty(len(sizes), np.int64)
    for group in order:
        dealt = counts[group] / totals
        part = int(((missing - dealt) ** 2 - missing**2).sum(axis=1).argmin())
        missing[part] -= dealt
        part_of[group] = part
    _fill_empty(part_of, sizes, len(shares))
    return part_of[group_of]


def _fill_empty(part_of: np.ndarray, sizes: np.ndarray, parts: int) -> None:
    """Give every empty part the smallest group of a part that has more than one."""
    for part in range(parts):
        held = np.bincount(part_of, minlength=parts)
        if not held[part]:
            movable = np.flatnonzero(held[part_of] > 1)
            part_of[movable[sizes[movable].argmin()]] = part
