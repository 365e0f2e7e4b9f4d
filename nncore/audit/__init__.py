"""Audit of data before training: flawed data teaches wrong priorities. One file for each kind of finding; nothing is refused here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nncore.audit.classes import class_imbalance
from nncore.audit.columns import constant_columns, giveaway_columns
from nncore.audit.duplicates import duplicate_rows, duplicates_across_split, label_disagreement
from nncore.audit.finding import Finding, Severity
from nncore.audit.groups import group_leakage
from nncore.split import Split
from nncore.table import Column, Table

__all__ = ["Finding", "Severity", "Split", "audit"]

_ORDER = ("error", "warning", "info")


def audit(
    table: Table, *, target: str | None = None, inputs: Sequence[str] | None = None, group: str | None = None, split: Split | None = None
) -> list[Finding]:
    """What is wrong with the data, the worst first. What is not told is not judged.

    inputs: default all columns but target and group. split: which rows are held out.
    """
    goal = None if target is None else table[target]
    names = [column.name for column in table.columns if column.name not in (target, group)] if inputs is None else inputs
    found = list(_found(table, [table[name] for name in names], goal, None if group is None else table[group], split))
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))


def _found(table: Table, inputs: list[Column], target: Column | None, group: Column | None, split: Split | None) -> Iterator[Finding]:
    if not inputs:
        return
    yield from constant_columns(inputs)
    yield from duplicate_rows(inputs, target)
    if target is not None:
        yield from class_imbalance(target)
        yield from giveaway_columns(inputs, target)
        yield from label_disagreement(inputs, target)
    if split is not None and len(split.held_out_rows):
        yield from duplicates_across_split(inputs, split)
        if group is not None:
            yield from group_leakage(group, split)
