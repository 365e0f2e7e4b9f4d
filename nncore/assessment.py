"""What a trained network is worth, told once when its training has ended: by class and by group, which inputs decide, and what is wrong
with its data.

It is bounded: findings are looked for in rows of so many numbers, groups are told of the largest, inputs are dealt on a sample of rows and
for so many seconds. What was left out is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nncore.artifact import Artifact
from nncore.audit import Finding, audit
from nncore.data import TrainingData
from nncore.metrics import METRICS, MOST_CLASSES
from nncore.preprocess import preprocessing
from nncore.scoring import Score, Scorer
from nncore.spec.resolved import ResolvedSpec
from nncore.split import Split
from nncore.table import Column, Table

MOST_GROUPS = 50
MOST_JUDGED_ROWS = 100_000  # of a part, by class and by group
MOST_AUDITED_NUMBERS = 5_000_000
DEALT_ROWS = 500
DEALT_SECONDS = 1.0
MOST_FEATURES = 256  # dealt one by one; of more, each column is dealt as a whole
REPEATS = 3

PartName = Literal["training", "validation", "test"]


@dataclass(frozen=True)
class GroupScore:
    """The score of the rows of one group."""

    value: str
    score: Score


@dataclass(frozen=True)
class Part:
    """Some rows, judged. groups: the largest first. groups_left_out: how many more there are."""

    of: PartName
    score: Score
    groups: list[GroupScore]
    groups_left_out: int


@dataclass(frozen=True)
class Influence:
    """What an input decides: how much worse the answers are when its numbers are dealt to other rows; the means of REPEATS.

    feature: of the items of the column, None where all were dealt together. loss_rise: of the loss. metric_drop: how far the metric fell.
    """

    column: str
    feature: int | None
    loss_rise: float
    metric_drop: float


@dataclass(frozen=True)
class Assessment:
    """parts: validation and test rows where there are any, else those of training. metric: of the influences, taken on `dealt_rows`
    of the first part; the most influential first. influences_left_out: for want of time. audited_rows: in which findings were looked for.
    """

    parts: list[Part]
    metric: str
    dealt_rows: int
    influences: list[Influence]
    influences_left_out: int
    findings: list[Finding]
    audited_rows: int


def assess(spec: ResolvedSpec, data: TrainingData, table: Table, artifact: Artifact, between: Callable[[], object] = bool) -> Assessment:
    """The assessment of parameters that were trained by `spec` on `data`, which was made of `table`.

    between: called now and then, for who must look up meanwhile.
    """
    scorer = Scorer(spec, data, artifact)
    parts: list[tuple[PartName, np.ndarray]] = [("validation", data.validation_rows), ("test", data.test_rows)]
    judged = [part for part in parts if len(part[1])] or [("training", data.training_rows)]
    metric = "accuracy" if spec.classes is not None else "r2"
    asked = [*(name for name in spec.metrics if name in METRICS), *([] if metric in spec.metrics else [metric])]
    if spec.classes is not None and len(spec.classes) <= MOST_CLASSES:
        asked.append("per_class")
    group = None if spec.group is None else table[spec.group]
    told = [_part(of, rows, scorer, asked, group, between) for of, rows in judged]
    dealt = _sample(judged[0][1], DEALT_ROWS)
    influences, left_out = _influences(scorer, data, spec, dealt, metric, between)
    between()
    findings, audited = _findings(spec, data, table)
    return Assessment(told, metric, len(dealt), influences, left_out, findings, audited)


def _part(of: PartName, rows: np.ndarray, scorer: Scorer, asked: list[str], group: Column | None, between: Callable[[], object]) -> Part:
    rows = _sample(rows, MOST_JUDGED_ROWS)
    score, groups, left_out = scorer.score(rows, asked, between=between), [], 0
    if group is not None:
        values, member, counts = np.unique(group.values[rows], return_inverse=True, return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:MOST_GROUPS]
        left_out = len(values) - len(largest)
        names = [name for name in asked if name in METRICS]
        for at in largest:
            called = group.categories[int(values[at])] if group.categories is not None else f"{values[at]:g}"
            groups.append(GroupScore(called, scorer.score(rows[member == at], names, between=between)))
    return Part(of, score, groups, left_out)


def _influences(
    scorer: Scorer, data: TrainingData, spec: ResolvedSpec, rows: np.ndarray, metric: str, between: Callable[[], object]
) -> tuple[list[Influence], int]:
    """What each input decides, the most influential first; and how many were left out, the time being over.

    Dealing a column's numbers before they are preprocessed is dealing what was made of them: every step works row by row.
    """
    inputs = np.ascontiguousarray(data.inputs[rows]).reshape(len(rows), -1)
    before, found, places = scorer.score(rows, [metric], inputs=inputs), [], list(_places(spec, data))
    ends_at = time.monotonic() + DEALT_SECONDS
    for number, (column, feature, place) in enumerate(places):
        if time.monotonic() > ends_at:
            break
        between()
        rises, drops = [], []
        for repeat in range(REPEATS):
            order = np.random.default_rng([spec.seed, number, repeat]).permutation(len(rows))
            dealt = inputs.copy()
            dealt[:, place] = inputs[order, place]
            after = scorer.score(rows, [metric], inputs=dealt)
            rises.append((after.loss or 0.0) - (before.loss or 0.0))
            drops.append((before.metrics.get(metric) or 0.0) - (after.metrics.get(metric) or 0.0))
        found.append(Influence(column, feature, float(np.mean(rises)), float(np.mean(drops))))
    return sorted(found, key=lambda each: -abs(each.loss_rise)), len(places) - len(found)


def _places(spec: ResolvedSpec, data: TrainingData) -> Iterator[tuple[str, int | None, slice]]:
    """Where in an item the features of each input lie: one by one where the column is an array of few, else together."""
    shapes = [None if shape is None else tuple(shape) for shape in spec.item_shapes]
    widths, at = preprocessing(data.preprocessing, spec.inputs, shapes).widths, 0
    for name, shape in zip(spec.inputs, shapes, strict=True):
        end = at + widths[name]
        if shape and np.prod(shape) == widths[name] and len(data.inputs[0].ravel()) <= MOST_FEATURES:
            for feature in range(widths[name]):
                yield name, feature, slice(at + feature, at + feature + 1)
        else:
            yield name, None, slice(at, end)
        at = end


def _findings(spec: ResolvedSpec, data: TrainingData, table: Table) -> tuple[list[Finding], int]:
    """What is wrong with the data, in as many of its rows as can be looked at; their numbers are those of the table."""
    names = [*spec.inputs, spec.target, *([] if spec.group is None else [spec.group])]
    numbers = sum(int(np.prod(table[name].item_shape)) for name in names)
    rows = _sample(np.arange(table.rows), max(1, MOST_AUDITED_NUMBERS // numbers))
    looked_at, split = table, Split(data.training_rows, data.validation_rows, data.test_rows)
    if len(rows) < table.rows:
        looked_at = Table(Column(name, table[name].values[rows], table[name].categories) for name in names)
        split = Split(*(np.flatnonzero(np.isin(rows, part, assume_unique=True)) for part in vars(split).values()))
    found = audit(looked_at, target=spec.target, inputs=spec.inputs, group=spec.group, split=split)
    if looked_at is not table:
        for finding in found:
            finding.rows[:] = rows[finding.rows].tolist()
    return found, len(rows)


def _sample(rows: np.ndarray, most: int) -> np.ndarray:
    """The rows, or so many of them, evenly taken."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
