"""Reading CSV: what it accepts, and what it says about what it does not."""

from __future__ import annotations

import gzip
import io
import time
import tracemalloc

import numpy as np
import pytest

from nncore.errors import InvalidData
from nncore.table import Table, TableLimits
from nncore.table.csv import read_csv


def read(text: str | bytes, **limits: int) -> Table:
    return read_csv(io.BytesIO(text.encode() if isinstance(text, str) else text), limits=TableLimits(**limits))


def values(table: Table) -> dict[str, list]:
    return {column.name: column.values.tolist() for column in table.columns}


def refused(text: str | bytes, **limits: int) -> list[str]:
    with pytest.raises(InvalidData) as caught:
        read(text, **limits)
    return [fault.message for fault in caught.value.faults]


def test_numbers_under_a_header_become_float32_columns():
    table = read("a,b\n1,2.5\n-3,4e2\n")
    assert values(table) == {"a": [1.0, -3.0], "b": [2.5, 400.0]}
    assert [column.dtype for column in table.columns] == ["float32", "float32"]


def test_a_column_of_text_becomes_a_category_with_sorted_names():
    column = read("x,kind\n1,plum\n2,apple\n3,plum\n")["kind"]
    assert (column.categories, column.values.tolist()) == (("apple", "plum"), [1, 0, 1])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter):
    assert values(read(f"a{delimiter}b\n1{delimiter}2\n3{delimiter}4\n")) == {"a": [1, 3], "b": [2, 4]}


def test_a_first_row_of_numbers_is_data_and_the_columns_get_numbers_for_names():
    assert values(read("5;1\n7;2\n")) == {"column_0": [5, 7], "column_1": [1, 2]}


@pytest.mark.parametrize(
    "text",
    ["a,b\r\n1,2\r\n", "a,b\r1,2\r", "\ufeffa,b\n1,2", "\n\na,b\n\n1,2\n  \n\n", '"a","b"\n"1","2"\n', " a , b \n 1 ,2 \n"],
    ids=["crlf", "cr", "byte order mark", "blank lines", "quotes", "spaces"],
)
def test_the_same_table_written_in_other_ways(text):
    assert values(read(text)) == {"a": [1], "b": [2]}


def test_quoted_cells_hold_delimiters_quotes_and_line_ends():
    table = read('x,note\n1,"a, b"\n2,"say ""no"""\n3,"two\nlines"\n4,plain\n')
    assert [table["note"].categories[code] for code in table["note"].values] == ["a, b", 'say "no"', "two\nlines", "plain"]


def test_a_gzip_file_gives_the_same_table_also_in_two_members():
    text = b"a,b\n1,2\n3,4\n"
    packed = gzip.compress(text[:6]) + gzip.compress(text[6:])
    assert read(packed).digest == read(gzip.compress(text)).digest == read(text).digest


def test_a_gzip_bomb_is_refused_without_unpacking_it():
    bomb = gzip.compress(b"1,2\n" * 25_000_000)
    tracemalloc.start()
    messages = refused(bomb, max_bytes=2**22)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert messages == ["expected at most 4,194,304 bytes of text, got more; send fewer rows or columns"]
    assert peak < 30e6


def test_a_gzip_file_that_unpacks_too_far_is_refused_early_and_costs_little():
    bomb = gzip.compress(b"1,2\n" * 25_000_000, 1)
    started = time.process_time()
    tracemalloc.start()
    (message,) = refused(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.startswith("expected at most 100 bytes of text from each byte of the gzip file, got 8,")
    assert message.endswith("; send the file unpacked")
    assert (peak < 40e6, time.process_time() - started < 8.0) == (True, True)


def test_a_gzip_file_of_text_that_says_little_is_read_where_the_limit_allows_it():
    text = b"a\n" + b"1\n" * 5_000_000
    assert read(gzip.compress(text), max_unpacked_ratio=1100).rows == 5_000_000
    assert refused(gzip.compress(text))


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-9], lambda packed: packed[:20] + b"\xff\xff" + packed[22:], lambda _: b"\x1f\x8b"]
)
def test_a_damaged_gzip_file_is_refused(damage):
    (message,) = refused(damage(gzip.compress(b"a,b\n" + b"1,2\n" * 99)))
    assert "gzip" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header and rows of data, got an empty file"),
        ("\n \n", "expected a header and rows of data, got an empty file"),
        ("a,b\n", 'expected rows of data under the header ("a", "b"), got none'),
        ("a,b,a\n1,2,3", 'the column name "a" stands 2 times in the header; rename all but one'),
        (",b\n1,2", "column 1: expected a name, got an empty text; an index column is best left out of the file"),
        ("b" * 201 + "\n1", "column 1: expected a name of at most 200 characters, got 201"),
        ("a,b\n1,2\n1\n1,2,3", 'row 2 (line 3): expected 2 cells, got 1 (and 1 more rows of another length); the file is cut at ","'),
        ("a\n1\n\n2\nabc", 'row 3 (line 5), column "a": expected a number, as in the rest of the column, got "abc"; '
                           "a column holds either numbers or text, in every row"),
        ("a,b\nx,1\ny,1\n3,1", 'row 3 (line 4), column "a": expected text, as in the rest of the column, got the number 3; '
                               "a column holds either numbers or text, in every row"),
        ("a,b\n1,2\n,2", 'row 2 (line 3), column "a": expected a number, got an empty cell; fill it in or leave the row out'),
        ("a,b\nx,2\n,2", 'row 2 (line 3), column "a": expected text, got an empty cell; fill it in or leave the row out'),
        ("a,b\n1,NaN\n1,2", 'row 1 (line 2), column "b": expected a number, got "NaN", which stands for no value; '
                             "fill it in or leave the row out"),
        ("a,b\n1,-inf\n1,2", 'row 1 (line 2), column "b": expected a finite number, got "-inf"; fill it in or leave the row out'),
        ("a\n1e309", 'row 1 (line 2), column "a": expected a number below 1.8e308, got "1e309"; scale the column down'),
        ("a;b\n1,5;2\n2,5;3", 'row 1 (line 2), column "a": expected a number with a decimal point, got "1,5" (and 1 more in this column); '
                              "write 1.5 instead of 1,5"),
        ('a,b\n1,"x\n2,y\n', "line 4: a cell in double quotes goes on for too long; is its closing quote missing?"),
        ("\n" + "h" * 300_000 + ",b\n1,2\n",
         "line 2: expected at most 131,072 characters in a cell, got more; shorten it or leave its column out"),
        ("a,b\n1,x\n2," + "x" * 300_000 + "\n3,y",
         "line 3: expected at most 131,072 characters in a cell, got more; shorten it or leave its column out"),
        ('a,b\n1,x\n2,"' + "x" * 200_000 + '"\n', "line 3: a cell in double quotes goes on for too long; is its closing quote missing?"),
        ("a\nx\n1\0\n", 'row 2 (line 3), column "a": expected text, got "1\\u0000"; take the NUL characters out'),
        (b"a,b\n1,2\n1,caf\xe9\n", "line 3: expected UTF-8 text, got the byte 0xe9; save the file as UTF-8"),
        (b"\xff\xfea\x00", "expected CSV text, got text in UTF-16 (save it as UTF-8)"),
        (b"PK\x03\x04...", "expected CSV text, got a zip archive or an Excel sheet (save it as CSV)"),
    ],
)  # fmt: skip
def test_a_fault_names_the_place_and_the_remedy(text, message):
    assert refused(text) == [message]


def test_faults_of_different_kinds_and_columns_are_told_together_each_once():
    text = "a,b,c\n" + "1,,x\n" * 3 + "1,inf,5\n1,2\n"
    with pytest.raises(InvalidData) as caught:
        read(text)
    codes = sorted((fault.pointer, fault.code) for fault in caught.value.faults)
    assert codes == [("/4", "ragged_row"), ("/b/0", "empty_cell"), ("/b/3", "not_finite"), ("/c/3", "mixed_column")]


def test_at_most_twenty_faults_are_told():
    assert len(refused(",".join(f"c{at}" for at in range(50)) + "\n" + "," * 49 + "\n" + "," * 49)) == 20


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_rows": 2}, "expected at most 2 rows, got more"),
        ({"max_columns": 1}, "expected at most 1 columns, got 2"),
        ({"max_cells": 5}, "expected at most 5 cells, got more; send fewer rows or columns"),
        ({"max_categories": 2}, 'column "b": expected at most 2 different texts, got more; leave the column out if it only names the rows'),
        ({"max_bytes": 15}, "expected at most 15 bytes of text, got more; send fewer rows or columns"),
    ],
)
def test_a_file_beyond_a_limit_is_refused(limits, message):
    assert refused("a,b\n1,x\n2,y\n3,z\n", **limits) == [message]


def test_a_line_without_end_is_refused_before_it_fills_the_memory():
    (message,) = refused(b"1" * 3_000_000, max_line_bytes=2**21)
    assert message == "line 1 is longer than 2,097,152 bytes"


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a socket may."""

    def __init__(self, data: bytes, step: int) -> None:
        self.data, self.step = io.BytesIO(data), step

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(self.step, size))


def test_how_the_stream_is_cut_changes_nothing():
    generator = np.random.default_rng(3)
    rows = [f"{a},{b},k{c}" for a, b, c in zip(*generator.integers(0, 2**26, (3, 60_000)) % [[99], [2**26], [7]], strict=True)]
    text = ("a,b,c\r\n" + "\r\n".join(rows)).encode()
    assert len(text) > 2**19
    assert read_csv(Trickle(text, 1013)).digest == read(text).digest


def test_numbers_after_the_first_block_are_read_as_those_in_it():
    rows = 200_000
    text = "a,b,label\n" + "".join(f"{row},{row / 8},{'odd' if row % 2 else 'even'}\n" for row in range(rows))
    table = read(text)
    assert len(text) > 2 * 2**20
    assert np.array_equal(table["a"].values, np.arange(rows, dtype=np.float32))
    assert np.array_equal(table["b"].values, np.arange(rows, dtype=np.float32) / 8)
    assert np.array_equal(table["label"].values, np.arange(rows) % 2)


def test_the_row_of_a_fault_far_down_is_right():
    text = "a,b\n" + "1,2\n" * 300_000 + "1,oops\n"
    assert refused(text)[0].startswith('row 300001 (line 300002), column "b": expected a number')


@pytest.mark.parametrize("last", ["", "1700000000.5," * 3 + "4\n"], ids=["float32", "float64 from the last row"])
def test_memory_stays_near_the_table(last):
    text = io.BytesIO(("a,b,c,d\n" + "0.125,2.5,3.25,4\n" * 400_000 + last).encode())
    tracemalloc.start()
    table = read_csv(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    table_bytes = sum(column.values.nbytes for column in table.columns)
    # The pieces are let go while they are joined, but tracemalloc counts the untouched array too.
    assert peak < 2 * table_bytes + 12e6
