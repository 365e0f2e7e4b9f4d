"""Group leakage: the same speaker, patient or customer on both sides of a split, so that validation tests whom it knows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nncore.audit.finding import Finding, first
from nncore.split import Split
from nncore.table import Column


def group_leakage(group: Column, split: Split) -> Iterator[Finding]:
    """Held-out rows of groups that are trained on as well."""
    held_out = split.held_out_rows
    known = np.isin(group.values[held_out], group.values[split.training_rows])
    leaked = held_out[known]
    if len(leaked):
        groups = len(np.unique(group.values[leaked]))
        yield Finding(
            "group_leakage",
            "error",
            f"{groups:,} groups of {group.name} stand on both sides of the split, with {len(leaked):,} of {len(held_out):,} "
            "held-out rows: validation will look better than use",
            "hold out whole groups",
            [group.name],
            first(leaked),
            groups,
        )
