"""Rows that are there more than once; and inputs that stand on both sides of a split, so that validation tests memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nncore.audit.equal_rows import equal_rows
from nncore.audit.finding import Finding, first
from nncore.split import Split
from nncore.table import Column


def duplicate_rows(inputs: Sequence[Column], target: Column | None) -> Iterator[Finding]:
    """Rows equal in every input and in the target, all but the first of each."""
    columns = [*inputs, *([target] if target else [])]
    group_of = equal_rows(columns)
    _, firsts = np.unique(group_of, return_index=True)
    again = np.setdiff1d(np.arange(len(group_of)), firsts)
    if len(again):
        share = len(again) / len(group_of)
        yield Finding(
            "duplicate_rows",
            "warning" if share > 0.01 else "info",
            f"{len(again):,} of {len(group_of):,} rows ({share:.1%}) repeat an earlier row: what they say counts more than once",
            "remove them, unless they were truly seen that often",
            [column.name for column in columns],
            first(again),
            len(again),
        )


def duplicates_across_split(inputs: Sequence[Column], split: Split) -> Iterator[Finding]:
    """Held-out rows whose inputs are trained on as well."""
    group_of = equal_rows(inputs)
    held_out = split.held_out_rows
    known = np.isin(group_of[held_out], group_of[split.training_rows])
    leaked = held_out[known]
    if len(leaked):
        yield Finding(
            "duplicates_across_split",
            "error",
            f"{len(leaked):,} of {len(held_out):,} held-out rows have inputs that are trained on, too: on them validation measures memory",
            "remove the repeated rows, or hold out by a group that keeps them together",
            [column.name for column in inputs],
            first(leaked),
            len(leaked),
        )


def label_disagreement(inputs: Sequence[Column], target: Column) -> Iterator[Finding]:
    """Rows of equal inputs whose targets differ: no network can be right on all of them."""
    group_of = equal_rows(inputs)
    with_target = equal_rows([Column("group", group_of), target])
    pairs = np.unique(np.stack([group_of, with_target], axis=1), axis=0)
    groups, answers = np.unique(pairs[:, 0], return_counts=True)
    torn = np.flatnonzero(np.isin(group_of, groups[answers > 1]))
    if len(torn):
        share = len(torn) / len(group_of)
        yield Finding(
            "label_disagreement",
            "error" if share > 0.05 else "warning",
            f"{len(torn):,} rows ({share:.1%}) have the inputs of another row, but another {target.name}: no network can be right on all",
            "look at these rows: mend the labels, or add a column that tells them apart",
            [target.name],
            first(torn),
            len(torn),
        )
