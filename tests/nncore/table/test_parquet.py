"""Parquet files become tables; those that are damaged or too large are refused."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nncore.errors import InvalidData
from tests.nncore.table.test_read_file import read, read_or_refused, refused

arrow = pytest.importorskip("pyarrow", reason="no pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def parquet_file(**columns) -> bytes:
    into = io.BytesIO()
    parquet.write_table(arrow.table(columns), into, row_group_size=2)
    return into.getvalue()


class TestParquet:
    def test_numbers_texts_and_lists_become_columns(self):
        kinds = arrow.array(["a", "b", "a", "b", "a"]).dictionary_encode()
        data = parquet_file(x=[[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]], y=[0.5, 1, 2, 3, 4], kind=["u", "v", "u", "v", "w"], coded=kinds)
        found = read(data)
        assert found.sniffed == {"format": "parquet"}
        assert found.table["x"].values.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 0]]
        assert found.table["kind"].categories == ("u", "v", "w")
        assert found.table["kind"].values.tolist() == [0, 1, 0, 1, 2]
        assert found.table["coded"].values.tolist() == [0, 1, 0, 1, 0]
        assert found.table["y"].dtype == "float32"

    @pytest.mark.parametrize(
        ("columns", "code"),
        [
            ({"x": [1.0, None, 2.0]}, "empty_cell"),
            ({"x": ["a", None]}, "empty_cell"),
            ({"x": [[1, 2], [3]]}, "ragged_row"),
            ({"x": [b"a", b"b"]}, "unsupported_dtype"),
            ({"x": arrow.array([], arrow.float32())}, "no_rows"),
        ],
    )
    def test_what_is_no_column_is_named(self, columns, code):
        assert refused(parquet_file(**columns)) == [code]

    def test_a_damaged_file_and_too_many_rows_are_refused(self):
        data = parquet_file(x=[1, 2, 3])
        assert refused(data[:-9]) == ["broken_parquet"]
        assert refused(data, max_rows=2) == ["too_many_rows"]

    def test_without_pyarrow_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        with pytest.raises(InvalidData, match=r"sankofa\[parquet\]"):
            read(b"PAR1")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_file_with_wrong_bytes_is_read_or_refused_and_nothing_else(data):
    read_or_refused(parquet_file(x=[1, 2], y=["a", "b"]), data)
