"""Which dtype the numbers of a CSV column get: none that changes what was written."""

from __future__ import annotations

import io

import numpy as np
import pytest

from nncore.table import Table
from nncore.table.csv import read_csv
from nncore.table.numbers import as_written


def read(text: str) -> Table:
    return read_csv(io.BytesIO(text.encode()))


def test_whole_numbers_beyond_what_float32_holds_stay_exact():
    table = read("a,b,c\n16777217,9007199254740993,1e20\n1,2,3\n")
    assert table["a"].values.tolist() == [16777217, 1]
    assert table["b"].values.tolist() == [9007199254740993, 2]
    assert [column.dtype for column in table.columns] == ["int64", "int64", "float32"]


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["0", "255"], "float32"),
        (["0.1", "-5.25"], "float32"),
        (["1e20", "2.5"], "float32"),
        (["0.12345678"], "float32"),  # float32's own shortest text
        (["16777216"], "float32"),
        (["1700000000.5"], "float64"),
        (["0.123456789"], "float64"),
        (["1e39"], "float64"),
        (["1e-50"], "float64"),
        (["0.5", "16777217"], "float64"),
        (["16777217"], "int64"),
    ],
)
def test_numbers_become_float32_unless_that_would_change_what_was_written(cells, dtype):
    column = read("a\n" + "\n".join(cells))["a"]
    assert (column.dtype, column.values.tolist()) == (dtype, np.array(list(map(float, cells))).astype(dtype).tolist())


@pytest.mark.parametrize("last", ["1700000000.5", "1e300", "20000000.5"])
def test_one_late_number_makes_the_whole_column_float64_as_if_it_had_been_the_first(last):
    cells = [f"{row / 1000}" for row in range(300_000)]
    late, early = read("a,b\n" + "".join(f"{cell},1\n" for cell in [*cells, last])), [last, *cells]
    assert late["a"].dtype == "float64"
    assert late["a"].values.tolist() == [*map(float, cells), float(last)]
    assert read("a\n" + "\n".join(early))["a"].values.tolist() == [*map(float, early)]


def test_whole_numbers_read_before_a_fraction_keep_their_digits():
    cells = ["20000001"] * 200_000 + ["0.5"]
    assert read("a\n" + "\n".join(cells))["a"].values.tolist() == [*map(float, cells)]
    assert read("a\n" + "\n".join(["20000000", *["0"] * 200_000, "0.5"]))["a"].dtype == "float32"


def test_float32_is_written_out_as_its_shortest_text():
    narrow = (10.0 ** np.random.default_rng(1).uniform(-15, 20, 20_000)).astype(np.float32)
    assert as_written(narrow).tolist() == [float(str(number)) for number in narrow]
