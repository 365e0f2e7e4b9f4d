"""Group leakage: the same speaker, patient or customer on both sides of a split, so that validation tests whom it knows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nncore.audit.finding import Finding, Split, first
from nncore.table import Column


def group_leakage(group: Column, split: Split) -> Iterator[Finding]:
    """Held-out rows of groups that are trained on as well."""
    known = np.isin(group.values[split.validation_rows], group.values[split.training_rows])
    leaked = split.validation_rows[known]
    if len(leaked):
        groups = len(np.unique(group.values[leaked]))
        yield Finding(
            "group_leakage",
            "error",
            f"{groups:,} groups of {group.name} stand on both sides of the split, with {len(leaked):,} of {len(split.validation_rows):,} "
            "held-out rows: validation will look better than use",
            "hold out whole groups",
            [group.name],
            first(leaked),
            groups,
        )
