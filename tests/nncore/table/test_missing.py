"""Missing numbers: kept as NaN in the columns that may miss some, told as a fault everywhere else."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from nncore.errors import InvalidData
from nncore.table import Table
from nncore.table.csv import read_csv
from nncore.table.json import read_columns
from nncore.table.missing import EVERY_COLUMN


def csv(text: str, may_miss=EVERY_COLUMN) -> Table:
    return read_csv(io.BytesIO(text.encode()), may_miss=may_miss)


def assert_equal(values: np.ndarray, expected: list[float | None], dtype: str) -> None:
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, np.array([np.nan if each is None else each for each in expected], dtype=np.float64))


def test_empty_cells_of_numbers_become_nan() -> None:
    table = csv("a,b,kind\n1,2.5,x\n,3,y\n 4 ,  ,x\n")
    assert_equal(table["a"].values, [1, None, 4], "float32")
    assert_equal(table["b"].values, [2.5, 3, None], "float32")
    assert table["kind"].categories == ("x", "y")


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        ([None, None, 1.5], "float32"),
        ([0.123456789012, None], "float64"),
        ([1_700_000_001, None, 5], "float64"),
        ([None] * 5000 + [7, 0.25], "float32"),
        ([1.5] * 5000 + [None, 1700000000.25], "float64"),
    ],
)
def test_present_numbers_stay_as_they_were_written_wherever_others_are_missing(cells: list[float | None], dtype: str) -> None:
    text = "a,b\n" + "".join(f"{'' if cell is None else repr(cell)},1\n" for cell in cells)
    assert_equal(csv(text)["a"].values, cells, dtype)
    assert_equal(read_columns({"a": cells}, may_miss=EVERY_COLUMN)["a"].values, cells, dtype)


def test_csv_and_json_of_the_same_table_have_the_same_digest() -> None:
    draw = random.Random(0)
    columns = {name: [draw.choice([None, draw.randint(-9, 9), draw.random()]) for _ in range(200)] for name in "abc"}
    lines = ["a,b,c", *(",".join("" if cell is None else repr(cell) for cell in row) for row in zip(*columns.values(), strict=True))]
    assert csv("\n".join(lines)).digest == read_columns(columns, may_miss={"a", "b", "c"}).digest


def test_what_is_known_of_a_column_is_of_the_numbers_it_has() -> None:
    (info,) = read_columns({"a": [3, None, 5, None, 3]}, may_miss={"a"}).info()
    assert (info.integral, info.minimum, info.maximum, info.distinct, info.missing) == (True, 3, 5, 2, 2)
    (info,) = read_columns({"a": [[0.5, None], [1, 2]]}, may_miss={"a"}).info()
    assert (info.integral, info.minimum, info.maximum, info.missing, info.item_shape) == (False, 0.5, 2, 1, [2])


def test_only_named_columns_may_miss_numbers() -> None:
    with pytest.raises(InvalidData) as refused:
        csv("a,b\n1,\n,2\n", may_miss={"a"})
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/b/0", "empty_cell")]
    with pytest.raises(InvalidData) as refused:
        read_columns({"a": [1, None], "b": [None, 1]}, may_miss={"a"})
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/b/0", "empty_cell")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a,b\nx,1\n,2\n", "empty_cell"),
        ("a,b\n,1\nx,2\n", "empty_cell"),
        ("a,b\n,1\n,2\n", "empty_column"),
        ("a,b\n1,1\n,2\nNaN,3\n", "not_finite"),
    ],
)
def test_text_is_never_missing_and_a_column_has_some_number(text: str, code: str) -> None:
    with pytest.raises(InvalidData) as refused:
        csv(text)
    assert code in [fault.code for fault in refused.value.faults]


@pytest.mark.parametrize("rows", [[None, None], ["x", None], [[1], None], [None, float("nan")]])
def test_json_without_numbers_beside_the_nulls_is_refused(rows: list) -> None:
    with pytest.raises(InvalidData):
        read_columns({"a": rows}, may_miss={"a"})


def test_a_stored_table_keeps_what_is_missing(tmp_path) -> None:
    table = csv("a,b\n1,\n,2\n")
    (tmp_path / "table").write_bytes(b"".join(table.chunks(100)))
    again = Table.open(tmp_path / "table", table.header())
    assert again.digest == table.digest
    assert [info.missing for info in again.info()] == [1, 1]
