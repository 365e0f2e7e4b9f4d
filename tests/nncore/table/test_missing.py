"""Missing values: kept, as NaN or as the empty text, in the columns that may miss some, told as a fault everywhere else."""

from __future__ import annotations

import io
import random
from importlib.util import find_spec

import numpy as np
import pytest

from nncore.errors import InvalidData
from nncore.table import Column, Table
from nncore.table.csv import read_csv, read_csv_and_gaps
from nncore.table.file import read_file
from nncore.table.json import read_columns
from nncore.table.missing import EVERY_COLUMN, NO_COLUMN


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
        ("a,b\n,1\n,2\n", "empty_column"),
        ("a,b\nNaN,1\nnan,2\n", "empty_column"),
        ("a,b\n1,1\n,2\ninf,3\n", "not_finite"),
        ("a,b\n1,1\n?,2\nmaybe,3\n", "mixed_column"),
    ],
)
def test_a_column_has_some_value_and_every_value_is_of_one_kind(text: str, code: str) -> None:
    with pytest.raises(InvalidData) as refused:
        csv(text)
    assert [fault.code for fault in refused.value.faults] == [code]


@pytest.mark.parametrize("word", ["NA", "?", "-", "null"])
def test_a_column_of_a_word_alone_is_text_where_nothing_else_is_known_of_it(word: str) -> None:
    for may_miss in (EVERY_COLUMN, frozenset[str]()):
        table, gaps = read_csv_and_gaps(io.BytesIO(f"a,b\n{word},1\n{word},2\n".encode()), may_miss=may_miss)
        assert (texts(table["a"]), gaps, table.info()[0].missing) == ([word, word], {}, 0)


@pytest.mark.parametrize("note", ["ab", '"a\nb"'], ids=["whole lines", "quoted lines"])
@pytest.mark.parametrize("cells", [("", ""), ("NA", "?"), ("nan", ""), ("NaN", "nan")])
def test_where_the_columns_of_text_are_known_a_column_may_miss_every_value(cells: tuple[str, str], note: str) -> None:
    text = "a,b,note\n" + "".join(f"{cell},{cell},{note}\n" for cell in cells)
    table = read_csv(io.BytesIO(text.encode()), may_miss=EVERY_COLUMN, texts={"b", "note"})
    assert_equal(table["a"].values, [None, None], "float32")
    if "NA" in cells:
        assert texts(table["b"]) == ["NA", "?"], "no word is missing among texts"
    else:
        assert_equal(table["b"].values, [None, None], "float32")


def texts(column: Column) -> list[str]:
    assert column.categories is not None
    return [column.categories[code] for code in column.values]


def test_words_are_missing_numbers_in_a_column_of_numbers_and_it_is_told_which_they_were() -> None:
    text = "a,b,c\n1,NA,x\n2,?,y\n3,nan,z\n,5,\n"
    table, gaps = read_csv_and_gaps(io.BytesIO(text.encode()), may_miss=EVERY_COLUMN)
    assert_equal(table["a"].values, [1, 2, 3, None], "float32")
    assert_equal(table["b"].values, [None, None, None, 5], "float32")
    assert texts(table["c"]) == ["x", "y", "z", ""]
    assert gaps == {"a": {"": 1}, "b": {"NA": 1, "?": 1, "nan": 1}, "c": {"": 1}}
    assert [info.missing for info in table.info()] == [1, 3, 1]


@pytest.mark.parametrize("word", ["NA", "N/A", "n/a", "nan", "NaN", "null", "NULL", "None", "?", "-", ".", "#N/A", "<NA>", "", "  "])
@pytest.mark.parametrize("quoted", [False, True], ids=["whole lines", "quoted lines"])
def test_every_word_is_missing_among_numbers_wherever_it_stands(word: str, quoted: bool) -> None:
    note = '"a\nb"' if quoted else "ab"
    assert_equal(csv(f"x,note\n{word},{note}\n1.5,{note}\n{word},{note}\n").columns[0].values, [None, 1.5, None], "float32")


def test_a_word_among_texts_is_a_text_and_only_the_empty_cell_is_missing() -> None:
    table = csv("country,answer\nNA,None\nDE,yes\n,?\n")
    assert (texts(table["country"]), texts(table["answer"])) == (["NA", "DE", ""], ["None", "yes", "?"])
    assert [(info.missing, info.distinct) for info in table.info()] == [(1, 2), (0, 3)]


def test_words_before_the_first_text_or_number_of_a_later_block_become_what_it_says() -> None:
    rows = 40_000
    text = "a,b,c\n" + "NA,?,\n" * rows + "Namibia,7,x\n" * rows
    table, gaps = read_csv_and_gaps(io.BytesIO(text.encode()), may_miss=EVERY_COLUMN)
    assert table["a"].categories == ("NA", "Namibia")
    np.testing.assert_array_equal(table["b"].values, np.repeat(np.array([np.nan, 7], np.float32), rows))
    assert (table["c"].categories, table["c"].missing_texts()) == (("", "x"), rows)
    assert gaps == {"b": {"?": rows}, "c": {"": rows}}


def test_a_file_whose_first_row_misses_a_number_has_no_header() -> None:
    assert_equal(csv("5.5,?\n1,2\n")["column_1"].values, [None, 2], "float32")


def test_where_nothing_may_be_missing_a_word_among_numbers_is_named_with_its_row() -> None:
    with pytest.raises(InvalidData) as refused:
        csv("a,b\n1,x\nNA,NA\n?,y\n", may_miss=NO_COLUMN)
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.code) == ("/a/1", "empty_cell")
    assert fault.message == (
        'row 2 (line 3), column "a": expected a number, got "NA", which stands for no value (and 1 more in this column); '
        "fill it in or leave the row out"
    )


def test_true_and_false_are_numbers_in_csv_as_in_json() -> None:
    table = csv("a,b,c\ntrue,False,true\nFALSE,?,maybe\n,TRUE,false\n")
    assert_equal(table["a"].values, [1, 0, None], "float32")
    assert_equal(table["b"].values, [0, None, 1], "float32")
    assert texts(table["c"]) == ["true", "maybe", "false"]
    with pytest.raises(InvalidData, match=r'row 2, column "a": expected a number, got "NA", which stands for no value'):
        csv("a,b\ntrue,1\nNA,1\n", may_miss=NO_COLUMN)
    assert csv("a,b\ntrue,1\nfalse,2\n").digest == read_columns({"a": [True, False], "b": [1, 2]}).digest


def test_texts_that_miss_are_alike_in_csv_json_npz_and_parquet() -> None:
    rows: list[str | None] = ["x", None, "y", ""]
    columns = read_columns({"kind": rows, "n": [1, 2, 3, 4]}, may_miss=EVERY_COLUMN)
    assert (texts(columns["kind"]), columns["kind"].missing_texts()) == (["x", "", "y", ""], 2)
    arrays = io.BytesIO()
    np.savez(arrays, kind=np.array(["x", " ", "y", ""]), n=np.arange(1, 5))
    made = {"csv": io.BytesIO(b"kind,n\nx,1\n,2\ny,3\n,4\n"), "npz": arrays}
    if find_spec("pyarrow"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"kind": rows, "n": [1, 2, 3, 4]}), made.setdefault("parquet", io.BytesIO()))
        of_category = pyarrow.table({"kind": pyarrow.array(rows).dictionary_encode(), "n": [1, 2, 3, 4]})
        parquet.write_table(of_category, made.setdefault("parquet of categories", io.BytesIO()))
    for name, file in made.items():
        assert read_file(file, may_miss=EVERY_COLUMN).table.digest == columns.digest, name
        with pytest.raises(InvalidData) as refused:
            read_file(file)
        assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/kind/1", "empty_cell")], name


@pytest.mark.parametrize("rows", [[None, None], ["", None], [["x"], None], [[1], None], [None, float("nan")], ["x", None, 5]])
def test_json_without_numbers_or_texts_beside_the_nulls_is_refused(rows: list) -> None:
    with pytest.raises(InvalidData):
        read_columns({"a": rows}, may_miss={"a"})


def test_a_stored_table_keeps_what_is_missing(tmp_path) -> None:
    table = csv("a,b\n1,\n,2\n")
    (tmp_path / "table").write_bytes(b"".join(table.chunks(100)))
    again = Table.open(tmp_path / "table", table.header())
    assert again.digest == table.digest
    assert [info.missing for info in again.info()] == [1, 1]
