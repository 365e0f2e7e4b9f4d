"""Which rows are trained on, which judge every epoch, and which are kept until the end.

Rows are held out by a fraction, as one of several folds, or as a column says; whole groups where a group is named. All that is drawn
is drawn from the seed: the same seed and the same data give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nncore.group_split import deal_groups
from nncore.streams import StreamName, stream
from nncore.table.column import Column

if TYPE_CHECKING:
    from nncore.spec.resolved import ResolvedSpec
    from nncore.spec.training import Fold

SIDES: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    "test": "test",
}
"""What the texts of a split column mean, in lower case."""


def _none() -> np.ndarray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows by what they are for: positions, int64, ascending; each row is in one of the three."""

    training_rows: np.ndarray
    validation_rows: np.ndarray
    test_rows: np.ndarray = field(default_factory=_none)

    @property
    def held_out_rows(self) -> np.ndarray:
        """Those of validation and test together, ascending."""
        return np.sort(np.concatenate([self.validation_rows, self.test_rows]))


@dataclass(frozen=True)
class HeldOut:
    """A part of all rows to be held out. stratified: whether every class gives the same part of its rows."""

    fraction: float
    stratified: bool = False


@dataclass(frozen=True)
class Division:
    """How rows are to be divided. What is None is not asked for; `split_column` says all by itself.

    target: the column of the classes, where something is stratified. stratified_folds: whether the folds are.
    """

    seed: int
    validation: HeldOut | None = None
    test: HeldOut | None = None
    fold: Fold | None = None
    stratified_folds: bool = False
    group: str | None = None
    split_column: str | None = None
    target: str | None = None

    @classmethod
    def of(cls, spec: ResolvedSpec) -> Division:
        """As a resolved spec asks."""
        parts = {
            name: None if asked is None else HeldOut(asked.fraction, asked.stratified)
            for name, asked in (("validation", spec.validation), ("test", spec.test))
        }
        folds = spec.fold is not None and spec.classes is not None
        return cls(spec.seed, parts["validation"], parts["test"], spec.fold, folds, spec.group, spec.split_column, spec.target)

    @property
    def reads(self) -> bool:
        """Whether the sizes of the parts are only known when columns have been read."""
        held_out = self.validation or self.test or self.fold
        return self.split_column is not None or (self.group is not None and held_out is not None)

    def sizes(self, rows: int) -> tuple[int, int]:
        """(validation rows, test rows) where no column has to be read for it."""
        test = validation_size(rows, self.test.fraction) if self.test else 0
        if self.fold is not None:
            return max(0, rows - test - self.fold.number + self.fold.of - 1) // self.fold.of, test
        return (validation_size(rows, self.validation.fraction) if self.validation else 0), test


def divide(rows: int, division: Division, column: Callable[[str], Column]) -> Split:
    """The parts of so many rows. column: gives a column by name; asked for those that the division needs.

    The test rows are drawn first, from a stream of their own: they do not depend on how the others are divided.
    """
    if division.split_column is not None:
        return _as_told(column(division.split_column))
    held_out = division.validation or division.test or division.fold
    groups = column(division.group).values if division.group is not None and held_out is not None else None
    rest, test = np.arange(rows), _none()
    if division.test is not None:
        rest, test = _held_out(rest, rows, division.test, division, "test", column, groups)
    validation = _none()
    if division.validation is not None:
        rest, validation = _held_out(rest, rows, division.validation, division, "split", column, groups)
    elif division.fold is not None:
        labels = column(str(division.target)).values.reshape(-1)[rest] if division.stratified_folds else None
        fold_of = fold_of_rows(len(rest), division.fold.of, division.seed, labels, None if groups is None else groups[rest])
        chosen = fold_of == division.fold.number
        rest, validation = rest[~chosen], rest[chosen]
    return Split(rest, validation, test)


def validation_size(rows: int, fraction: float) -> int:
    """How many of `rows` are held out: the nearest to the fraction (half rounds up), at least one."""
    return max(1, int(rows * fraction + 0.5))


def split_rows(
    rows: int, fraction: float, seed: int, labels: np.ndarray | None = None, name: StreamName = "split", held_out: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, validation rows): positions, int64, ascending, drawn from the seed.

    With `labels` (rows,) every class gives nearly the same fraction of its rows (the split is stratified); the classes that
    round down the most give the rows that are then missing, and a class is not used up while another can give.
    held_out: how many, where it is not `validation_size`.
    """
    generator, held_out = stream(seed, name), validation_size(rows, fraction) if held_out is None else held_out
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


def fold_of_rows(rows: int, folds: int, seed: int, labels: np.ndarray | None = None, groups: np.ndarray | None = None) -> np.ndarray:
    """(rows,) int64: the fold of each row, from 0. Without groups their sizes, and those of each class in them, differ by one at most."""
    generator = stream(seed, "split")
    if groups is not None:
        return deal_groups(groups, labels, np.full(folds, 1 / folds), generator, largest_first=True)
    order = generator.permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(rows, dtype=np.int64)
    fold_of[order] = np.arange(rows) % folds
    return fold_of


def _held_out(
    among: np.ndarray,
    rows: int,
    part: HeldOut,
    division: Division,
    name: StreamName,
    column: Callable[[str], Column],
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """(what is left, what is held out) of the rows `among`; the fraction is one of all rows."""
    labels = column(str(division.target)).values.reshape(-1)[among] if part.stratified else None
    if groups is not None:
        share = min(1.0, part.fraction * rows / len(among))
        held = deal_groups(groups[among], labels, np.array([1 - share, share]), stream(division.seed, name)) == 1
        return among[~held], among[held]
    left, held_out = split_rows(len(among), part.fraction, division.seed, labels, name, validation_size(rows, part.fraction))
    return among[left], among[held_out]


def _as_told(column: Column) -> Split:
    """The rows by what their texts mean. The texts are known to have a meaning."""
    meaning = np.array([SIDES[text.strip().lower()] for text in column.categories or ()])
    side = meaning[column.values]
    return Split(*(np.flatnonzero(side == name) for name in ("training", "validation", "test")))
