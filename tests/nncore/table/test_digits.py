"""The digits that the examples train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nncore.table import Table
from nncore.table.csv import read_csv

FILE = Path(__file__).parents[3] / "examples" / "data" / "digits.csv.gz"


@pytest.fixture(scope="module")
def digits() -> Table:
    with FILE.open("rb") as file:
        return read_csv(file)


def test_the_digits_are_64_pixels_and_a_label_from_0_to_9(digits):
    assert digits.rows == 1797
    assert [column.name for column in digits.columns] == [f"pixel_{index}" for index in range(64)] + ["label"]
    pixels = np.stack([column.values for column in digits.columns[:64]])
    assert (pixels.min(), pixels.max()) == (0, 16)
    label = digits["label"].info()
    assert (label.integral, label.minimum, label.maximum, label.distinct) == (True, 0, 9, 10)


@pytest.mark.oracle
def test_the_digits_are_those_of_scikit_learn(digits):
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    assert np.array_equal(np.stack([column.values for column in digits.columns[:64]], axis=1), theirs.data)
    assert np.array_equal(digits["label"].values, theirs.target)
