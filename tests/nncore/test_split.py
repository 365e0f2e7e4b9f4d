"""The split: exact in size, drawn from the seed, fair to every class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore.group_split import TooFewGroups, deal_groups
from nncore.spec.training import Fold
from nncore.split import Division, HeldOut, Split, divide, fold_of_rows, split_rows, validation_size
from nncore.table import Column


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 2**31), st.none() | st.integers(1, 9))
def test_every_row_is_on_exactly_one_side_and_the_size_is_as_promised(rows, fraction, seed, classes):
    labels = None if classes is None else np.random.default_rng(seed).integers(0, classes, rows)
    training, validation = split_rows(rows, fraction, seed, labels)
    assert len(validation) == validation_size(rows, fraction)
    assert np.array_equal(np.sort(np.concatenate([training, validation])), np.arange(rows))
    assert np.array_equal(training, np.sort(training))
    assert (training.dtype, validation.dtype) == (np.int64, np.int64)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.05, 0.6), st.integers(0, 99))
def test_a_stratified_split_takes_the_same_part_of_every_class_to_within_a_row(sizes, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    _, validation = split_rows(len(labels), fraction, seed, labels)
    part = len(validation) / len(labels)
    for label, size in enumerate(sizes):
        assert abs((labels[validation] == label).sum() - size * part) < 1 or min(sizes) <= 2


def test_a_class_is_not_used_up_while_another_can_give():
    labels = np.array([0] * 20 + [1, 2, 3])
    for seed in range(20):
        _, validation = split_rows(len(labels), 0.2, seed, labels)
        assert (labels[validation] == 0).all()


def test_the_seed_decides():
    assert all(np.array_equal(a, b) for a, b in zip(split_rows(50, 0.2, 7), split_rows(50, 0.2, 7), strict=True))
    assert not np.array_equal(split_rows(50, 0.2, 7)[1], split_rows(50, 0.2, 8)[1])


def test_rows_are_drawn_evenly():
    drawn = np.zeros(20)
    for seed in range(2000):
        drawn[split_rows(20, 0.25, seed)[1]] += 1
    assert drawn.sum() == 2000 * 5
    assert (np.abs(drawn - 500) < 100).all()


@pytest.mark.parametrize(("rows", "fraction", "expected"), [(10, 0.2, 2), (10, 0.25, 3), (3, 0.2, 1), (1000, 1e-9, 1), (2, 0.5, 1)])
def test_the_nearest_number_of_rows_is_held_out_but_at_least_one(rows, fraction, expected):
    assert validation_size(rows, fraction) == expected


def parts(rows: int, division: Division, **columns: Column) -> Split:
    """The split, which must be whole: every row once, in order."""
    split = divide(rows, division, columns.__getitem__)
    assert np.array_equal(np.sort(np.concatenate(list(vars(split).values()))), np.arange(rows))
    assert all(np.array_equal(part, np.sort(part)) and part.dtype == np.int64 for part in vars(split).values())
    return split


@given(st.integers(5, 200), st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.integers(0, 2**31), st.booleans())
def test_the_sizes_are_known_before_the_rows_are_drawn(rows, fraction, kept, seed, stratified):
    division = Division(seed, HeldOut(fraction, stratified), HeldOut(kept, stratified), target="y")
    split = parts(rows, division, y=Column("y", np.random.default_rng(seed).integers(0, 3, rows)))
    assert not division.reads
    assert (len(split.validation_rows), len(split.test_rows)) == division.sizes(rows)


def test_without_a_test_the_rows_are_those_that_were_always_drawn():
    drawn = parts(50, Division(7, HeldOut(0.2)))
    assert np.array_equal(drawn.validation_rows, split_rows(50, 0.2, 7)[1])


def test_the_test_rows_do_not_depend_on_how_the_others_are_divided():
    test = HeldOut(0.2)
    divisions = [
        Division(7, test=test),
        Division(7, HeldOut(0.3), test),
        *(Division(7, test=test, fold=Fold(of=4, number=at)) for at in range(4)),
    ]
    assert len({tuple(parts(60, division).test_rows) for division in divisions}) == 1


@given(st.integers(2, 9), st.integers(10, 120), st.integers(0, 99), st.booleans())
def test_folds_are_disjoint_cover_all_rows_and_are_even_in_every_class(folds, rows, seed, stratified):
    labels = np.random.default_rng(seed).integers(0, 3, rows)
    found = fold_of_rows(rows, folds, seed, labels if stratified else None)
    for counted in [found, *([found[labels == label] for label in range(3)] if stratified else [])]:
        sizes = np.bincount(counted, minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    y = Column("y", labels)
    divisions = [Division(seed, fold=Fold(of=folds, number=at), stratified_folds=stratified, target="y") for at in range(folds)]
    held = [parts(rows, division, y=y).validation_rows for division in divisions]
    assert [len(each) for each in held] == [division.sizes(rows)[0] for division in divisions]
    assert np.array_equal(np.sort(np.concatenate(held)), np.arange(rows))


@given(st.integers(4, 30), st.integers(0, 2**31), st.booleans(), st.sampled_from([None, HeldOut(0.2)]))
def test_no_group_is_on_two_sides(groups, seed, stratified, test):
    random = np.random.default_rng(seed)
    who = np.concatenate([np.arange(groups), random.integers(0, groups, 5 * groups)])
    columns = {"who": Column("who", who), "y": Column("y", random.integers(0, 2, len(who)))}
    held_out = HeldOut(0.3, stratified)
    for way in ({"validation": held_out}, {"fold": Fold(of=3, number=1), "stratified_folds": stratified}):
        division = Division(seed, test=test, group="who", target="y", **way)
        split = parts(len(who), division, **columns)
        sides = [set(who[part]) for part in (split.training_rows, split.validation_rows, split.test_rows)]
        assert division.reads
        assert sides[0]
        assert sides[1]
        assert bool(sides[2]) == (test is not None)
        assert sum(map(len, sides)) == groups


def test_groups_come_as_near_to_the_fraction_and_the_classes_as_they_can():
    random = np.random.default_rng(1)
    who, labels = np.repeat(np.arange(100), 5), np.repeat(np.arange(100) % 4 == 0, 5).astype(np.int64)
    held = [deal_groups(who, labels, np.array([0.8, 0.2]), np.random.default_rng(seed)) == 1 for seed in range(5)]
    for each in held:
        assert abs(each.mean() - 0.2) < 0.02
        assert abs(labels[each].mean() - 0.25) < 0.03
    assert len({tuple(each) for each in held}) == 5, "the seed decides which"
    folds = deal_groups(random.permutation(np.repeat(np.arange(12), np.arange(1, 13))), None, np.full(4, 0.25), random, largest_first=True)
    assert np.ptp(np.bincount(folds)) <= 3


def test_every_part_has_a_group_even_where_one_group_has_most_rows():
    who = np.array([0] * 98 + [1, 2])
    for seed in range(20):
        assert set(deal_groups(who, None, np.array([0.5, 0.3, 0.2]), np.random.default_rng(seed))) == {0, 1, 2}
    with pytest.raises(TooFewGroups, match="3 groups cannot be dealt to 4 parts"):
        deal_groups(who, None, np.full(4, 0.25), np.random.default_rng(0))


def test_a_column_says_what_its_rows_are_for():
    column = Column("set", np.array([2, 0, 1, 2, 3]), ("Dev", "test", "train", "val "))
    split = parts(5, Division(7, split_column="set"), set=column)
    assert [part.tolist() for part in vars(split).values()] == [[0, 3], [1, 4], [2]]
    assert split.held_out_rows.tolist() == [1, 2, 4]
