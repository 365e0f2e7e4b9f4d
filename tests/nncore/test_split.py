"""The split: exact in size, drawn from the seed, fair to every class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore.split import split_rows, validation_size


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
