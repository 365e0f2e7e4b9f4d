"""What holds for any table, and for any bytes that are said to be one."""

from __future__ import annotations

import csv
import gzip
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore.errors import InvalidData
from nncore.table import Table
from nncore.table.csv import read_csv
from nncore.table.json import read_columns


def read(text: str | bytes) -> Table:
    return read_csv(io.BytesIO(text.encode() if isinstance(text, str) else text))


def written(columns: list[list], **how: object) -> str:
    """The columns as the csv module writes them, under the names c0, c1, ..."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", **how)
    writer.writerow([f"c{at}" for at in range(len(columns))])
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue()


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6).map(lambda text: "w" + text.strip())
numbers = (
    st.floats(-(2.0**100), 2.0**100, width=32)
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-(10**6), 10**6, places=3).map(float)
)


columns_of_cells = st.lists(st.lists(words, min_size=5, max_size=5) | st.lists(numbers, min_size=5, max_size=5), min_size=2, max_size=4)


@given(columns_of_cells, st.sampled_from([",", ";", "\t"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_a_csv_writer_wrote_is_read_back(columns, delimiter, quoting):
    table = read(written(columns, delimiter=delimiter, quoting=quoting))
    assert [column.name for column in table.columns] == [f"c{at}" for at in range(len(columns))]
    for column, expected in zip(table.columns, columns, strict=True):
        if column.categories is not None:
            assert [column.categories[code] for code in column.values] == expected
        elif column.dtype == "float32":
            assert [float(str(value)) for value in column.values] == [float(cell) for cell in expected]
        else:
            assert column.values.tolist() == [type(column.values.tolist()[0])(cell) for cell in expected]


@given(columns_of_cells, st.sets(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=1))
def test_every_column_with_missing_cells_is_refused_at_its_first(columns, missing):
    for at, row in missing:
        columns[at][row] = ""
    with pytest.raises(InvalidData) as caught:
        read(written(columns))
    first = {at: min(row for column, row in missing if column == at) for at, _ in missing}
    empty = [(fault.pointer, fault.code) for fault in caught.value.faults if fault.code == "empty_cell"]
    assert empty == [(f"/c{at}/{row}", "empty_cell") for at, row in sorted(first.items())]


@given(st.dictionaries(words, st.lists(words, min_size=3, max_size=3) | st.lists(numbers, min_size=3, max_size=3), min_size=1))
def test_json_columns_hold_exactly_what_was_sent(columns):
    for column in read_columns(columns).columns:
        values = column.values.tolist()
        assert columns[column.name] == (values if column.categories is None else [column.categories[code] for code in values])


cells = st.sampled_from(["1", "-2.5", "1e400", "nan", "", " ", "x", '"y"', '"', "a,b", '"a,b"', "9" * 20, "\0", "é", "1_0", "17 "])
lines = st.lists(cells, max_size=4).map(",".join)
tables = st.lists(lines, max_size=6).map("\n".join).map(str.encode)


@given(st.one_of(st.binary(max_size=200), tables, tables.map(lambda text: b"a,b\n" + text), tables.map(gzip.compress)))
def test_any_bytes_are_a_table_or_invalid_data(data):
    try:
        table = read(data)
    except InvalidData:
        return
    assert all(len(column.values) == table.rows and np.isfinite(column.values).all() for column in table.columns)


odd_cells = st.sampled_from(["1", "2.5", " 3", "x", '"y"', '"a,b"', ' "z"', "-4 ", "1e3", "u v", '5" pipe', '"p"q'])


@given(st.lists(st.lists(odd_cells, min_size=2, max_size=2), min_size=2, max_size=30))
def test_the_fast_way_and_the_slow_way_read_the_same(rows):
    body = "a,b,c\n" + "".join(",".join([*row, "t\n"]) for row in rows)

    def outcome(text: str) -> object:
        try:
            return {column.name: (column.dtype, column.values.tolist()) for column in read(text).columns if column.name != "c"}
        except InvalidData as refusal:
            return [(fault.pointer, fault.code) for fault in refusal.faults]

    # A line end inside quotes sends the whole file the slow way.
    assert outcome(body + '1,1,"t t"\n') == outcome(body + '1,1,"t\nt"\n')
