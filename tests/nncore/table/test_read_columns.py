"""Reading JSON columns: what they become, and what is said about those that cannot be read."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore.errors import InvalidData
from nncore.table import TableLimits
from nncore.table.json import read_columns


def refused(columns: Any, **limits: int) -> list[tuple[str, str]]:
    with pytest.raises(InvalidData) as caught:
        read_columns(columns, limits=TableLimits(**limits))
    return [(fault.pointer, fault.message) for fault in caught.value.faults]


def test_lists_become_items_with_a_shape_and_numbers_scalars():
    table = read_columns({"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]})
    assert (table.rows, table["x"].item_shape, table["y"].item_shape) == (4, (2,), ())
    assert table["x"].values.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert read_columns({"x": [[[1, 2, 3]], [[4, 5, 6]]]})["x"].item_shape == (1, 3)


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        ([0.5, -2], "float32"),
        ([0.1, 1], "float64"),
        ([2**24, 1], "float32"),
        ([2**24 + 1, 1], "int64"),
        ([1e300, 1], "float64"),
        ([2**53 + 1], "int64"),
    ],
)
def test_no_number_is_rounded(rows, dtype):
    column = read_columns({"x": rows})["x"]
    assert (column.dtype, column.values.tolist()) == (dtype, rows)


def test_booleans_are_one_and_zero():
    assert read_columns({"x": [True, False]})["x"].values.tolist() == [1, 0]


def test_texts_are_a_category_with_sorted_names():
    column = read_columns({"y": ["no", "yes", "maybe", "no"]})["y"]
    assert (column.categories, column.values.tolist()) == (("maybe", "no", "yes"), [1, 2, 0, 1])


@pytest.mark.parametrize(
    ("columns", "pointer", "message"),
    [
        ({}, "", "expected columns, lists of rows by name, got none"),
        ([1, 2], "", "expected columns, lists of rows by name, got a list of 2 items"),
        ({"x": []}, "/x", 'column "x": expected a list of rows, got an empty list'),
        ({"x": 3}, "/x", 'column "x": expected a list of rows, got 3'),
        ({"": [1]}, "", "column 1: expected a name, got an empty text; an index column is best left out of the file"),
        ({"x": [1, 2, 3], "y": [1, 2]}, "/y", 'column "y": expected 3 rows, as in the other columns, got 2'),
        ({"x": [[1, 2], [3]]}, "/x/1", 'row 2, column "x": expected 2 items, as in the other rows, got 1'),
        ({"x": [[[1, 2], [3, 4]], [[1, 2], [3]]]}, "/x/1/1", 'row 2, column "x", item [1]: expected 2 items, as in the other rows, got 1'),
        ({"x": [1, "a", 3]}, "/x/1", 'row 2, column "x": expected a number, as in the rest of the column, got "a"'),
        ({"x": ["a", 7, "b"]}, "/x/1", 'row 2, column "x": expected text, as in the rest of the column, got the number 7'),
        ({"x": [[1, 2], [3, "a"]]}, "/x/1/1", 'row 2, column "x", item [1]: expected a number, as in the rest of the column, got "a"'),
        ({"x": [[1], 2, [3]]}, "/x/1", 'row 2, column "x": expected a list, as in the rest of the column, got the number 2'),
        ({"a/b": [1, None, 3]}, "/a~1b/1", 'row 2, column "a/b": expected a number, as in the rest of the column, got null; '
                                           "fill it in or leave the row out"),
        ({"x": [["a"]]}, "/x/0/0", 'row 1, column "x", item [0]: expected a number, got "a"'),
        ({"x": [{}]}, "/x/0", 'row 1, column "x": expected a number, got an object'),
        ({"x": ["a", " "]}, "/x/1", 'row 2, column "x": expected text, got an empty text; fill it in or leave the row out'),
        ({"x": ["\ud800"]}, "/x/0", "row 1, column \"x\": expected text of Unicode characters other than NUL, got '\\ud800'"),
        ({"x": [1, float("inf")]}, "/x/1", 'row 2, column "x": expected a finite number, below 1.8e308, got inf'),
        ({"x": [1, 10**400]}, "/x/1", 'row 2, column "x": expected a finite number, below 1.8e308, got a whole number of about 401 digits'),
        ({"x": [-(10**5000)]}, "/x/0", 'row 1, column "x": expected a finite number, below 1.8e308, '
                                       "got a whole number of about 5,001 digits"),
    ],
)  # fmt: skip
def test_a_fault_names_the_place_in_words_and_as_a_pointer(columns, pointer, message):
    assert refused(columns) == [(pointer, message)]


def test_faults_of_all_columns_are_told_at_once():
    assert [pointer for pointer, _ in refused({"a": [1, "x"], "b": [], "c": [1, 2], "d": [[1], [2, 3]]})] == ["/a/1", "/b", "/d/1"]


def test_nesting_beyond_the_limit_is_refused_however_deep():
    nested: Any = 1
    for _ in range(10_000):
        nested = [nested]
    assert refused({"x": nested}) == [("/x", 'column "x": expected at most 8 lists within each other, got more')]


def test_a_table_beyond_a_limit_is_refused():
    assert refused({"x": [1, 2, 3]}, max_rows=2) == [("/x", 'column "x": expected at most 2 rows, got 3')]
    assert refused({"x": [1], "y": [1]}, max_columns=1) == [("", "expected at most 1 columns, got 2")]
    assert refused({"x": [[1, 2], [3, 4]]}, max_cells=3) == [("", "expected at most 3 cells, got 4; send fewer rows or columns")]


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**400)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=30
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=3) | values)
def test_any_json_is_a_table_or_invalid_data(columns):
    try:
        table = read_columns(columns)
    except InvalidData:
        return
    assert all(len(column.values) == table.rows and np.isfinite(column.values).all() for column in table.columns)


@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1, max_size=5))
def test_what_python_wrote_as_json_is_read_back_exactly(rows):
    assert read_columns(json.loads(json.dumps({"x": rows})))["x"].values.tolist() == rows


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        ([[1, 2], [3, 4], [5, 6]], "float32"),
        ([[1, 2], [3, 4], [5, 0.1]], "float64"),
        ([[0.1, 2], [3, 4], [5, 6]], "float64"),
        ([[1, 2], [3, 4], [5, 2**53 + 1]], "int64"),
        ([[2**24 + 1, 2], [3, 4], [5, 0.5]], "float64"),
        ([[1, 2], [3, 4], [5, 1e300]], "float64"),
    ],
)
def test_what_is_read_in_blocks_is_as_if_it_had_been_read_at_once(rows, dtype, monkeypatch):
    monkeypatch.setattr("nncore.table.json._CELLS_AT_ONCE", 2)
    column = read_columns({"x": rows})["x"]
    assert (column.dtype, column.values.tolist()) == (dtype, rows)


@pytest.mark.parametrize("odd", [[5], [5, "a"], [5, None], [5, [6]], [5, True], 7, [5, float("nan")], [5, 10**400]])
def test_a_fault_in_a_late_block_is_told_at_its_row(odd, monkeypatch):
    rows = [[1, 2], [3, 4], [7, 8], odd]
    at_once = refused({"x": rows})
    monkeypatch.setattr("nncore.table.json._CELLS_AT_ONCE", 2)
    assert refused({"x": rows}) == at_once
    assert all(pointer.startswith("/x/3") for pointer, _ in at_once)


def test_between_the_lists_and_the_numbers_there_is_little_memory():
    columns = {"x": [[0.5, 1.5]] * 1_000_000}
    tracemalloc.start()
    table = read_columns(columns)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * table["x"].values.nbytes
