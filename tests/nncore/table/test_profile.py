"""The profile of a table: the numbers that numpy gives for the whole column."""

from __future__ import annotations

import numpy as np
import pytest

from nncore.table import Column, Table
from nncore.table.profile import profile

GENERATOR = np.random.default_rng(2)


def test_numbers_are_described_as_numpy_does():
    values = GENERATOR.normal(3, 2, (700, 1000)).astype(np.float32)
    (found,) = profile(Table([Column("x", values)]))
    numbers = found["numbers"]
    assert (numbers["minimum"], numbers["maximum"]) == (values.min(), values.max())
    assert numbers["mean"] == pytest.approx(values.mean(dtype=np.float64), rel=1e-9)
    assert numbers["deviation"] == pytest.approx(values.std(dtype=np.float64), rel=1e-9)
    assert numbers["quantiles"]["0.5"] == pytest.approx(np.median(values), rel=1e-6)
    assert sum(numbers["histogram"]["counts"]) == values.size
    assert (found["item_shape"], found["rows"], found["missing"], numbers["sampled"]) == ([1000], 700, 0, False)


def test_texts_and_few_whole_numbers_are_counted_the_most_frequent_first():
    kinds = Column("kind", np.array([1, 0, 1, 1]), ("door", "window"))
    label, kind = profile(Table([Column("label", np.array([3.0, 5, 5, np.nan])), kinds]))
    assert label["values"] == [{"value": 5, "count": 2}, {"value": 3, "count": 1}]
    assert (label["missing"], label["distinct"]) == (1, 2)
    assert kind["values"] == [{"value": "window", "count": 3}, {"value": "door", "count": 1}]


@pytest.mark.parametrize("values", [np.full(3, 7.0), np.array([-1.7e308, 1.7e308]), np.array([2**60, 2**60 + 1])])
def test_extremes_are_described_without_failing(values):
    (found,) = profile(Table([Column("x", values)]))
    assert found["numbers"]["minimum"] <= found["numbers"]["mean"] <= found["numbers"]["maximum"]
