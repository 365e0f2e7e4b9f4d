"""Class imbalance: a network that always says the same may look good."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nncore.audit.columns import MOST_CLASSES
from nncore.audit.finding import Finding, first
from nncore.table import Column


def class_imbalance(target: Column) -> Iterator[Finding]:
    """Classes of which one has several times the rows of another."""
    if target.item_shape or not bool((target.values == target.values).all()):
        return
    classes, labels = np.unique(target.values, return_inverse=True)
    if not 2 <= len(classes) <= MOST_CLASSES or (target.categories is None and not bool((np.rint(classes) == classes).all())):
        return
    counts = np.bincount(labels)
    if target.categories is None and counts.mean() < 5:
        return  # whole numbers to be met, rather than classes
    fewest, most = int(counts.argmin()), int(counts.argmax())
    ratio = counts[most] / counts[fewest]
    if ratio >= 3:
        names = [target.categories[int(each)] if target.categories else str(int(each)) for each in (classes[most], classes[fewest])]
        yield Finding(
            "class_imbalance",
            "warning" if ratio >= 10 else "info",
            f"{counts[most]:,} rows are {names[0]}, {counts[fewest]:,} are {names[1]}: saying always {names[0]} is right in "
            f"{counts[most] / len(labels):.1%}",
            'weigh the classes ({"loss": {"class_weights": "balanced"}}), and judge by a metric of every class, not by accuracy alone',
            [target.name],
            first(np.flatnonzero(labels == fewest)),
            int(counts[fewest]),
        )
