"""The canonical file of a table, and what a column says about itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nncore.errors import InvalidFile
from nncore.table import Column, Table
from nncore.table.json import read_columns


@pytest.fixture
def table() -> Table:
    return read_columns({"x": [[0.5, 1], [2, 3], [4, 5]], "big": [2**40 + 1, 1, 2], "fine": [0.1, 0.2, 0.3], "kind": ["b", "a", "b"]})


@pytest.mark.parametrize("size_bytes", [1, 7, 64, 10_000])
def test_a_table_is_read_back_from_its_chunks_and_its_header_as_json(table, tmp_path, size_bytes):
    path = tmp_path / "table"
    chunks = list(table.chunks(size_bytes))
    assert all(len(chunk) == size_bytes for chunk in chunks[:-1])
    path.write_bytes(b"".join(chunks))
    opened = Table.open(path, json.loads(json.dumps(table.header())))
    assert opened.digest == table.digest
    assert [(column.name, column.dtype, column.categories) for column in opened.columns] == [
        ("x", "float32", None), ("big", "int64", None), ("fine", "float64", None), ("kind", "category", ("a", "b"))
    ]  # fmt: skip
    for ours, theirs in zip(opened.columns, table.columns, strict=True):
        assert np.array_equal(ours.values, theirs.values)
        assert ours.values.flags.aligned
        assert not ours.values.flags.writeable


def test_the_digest_depends_on_names_values_and_types_but_not_on_memory_layout():
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    digest = Table([Column("x", values)]).digest
    assert digest == Table([Column("x", np.asfortranarray(values))]).digest
    others = [Column("y", values), Column("x", values + 1), Column("x", values.astype(np.float64)), Column("x", values.reshape(3, 2, 1))]
    assert len({digest, *(Table([column]).digest for column in others)}) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda header: header | {"rows": 4},
        lambda header: header | {"format": "other"},
        lambda header: header | {"columns": []},
        lambda header: header | {"columns": [header["columns"][0] | {"item_shape": [10**9, 10**9]}]},
        lambda header: header | {"columns": [header["columns"][0] | {"offset": 64 * 10**6}]},
        lambda header: header | {"columns": [header["columns"][0] | {"item_shape": [-2, -1]}]},
        lambda _: {},
    ],
)
def test_a_header_that_does_not_fit_the_file_is_refused(table, tmp_path, damage):
    path = tmp_path / "table"
    path.write_bytes(b"".join(table.chunks(4096)))
    with pytest.raises(InvalidFile):
        Table.open(path, damage(table.header()))


def test_a_file_that_was_cut_short_is_refused(table, tmp_path):
    path = tmp_path / "table"
    path.write_bytes(b"".join(table.chunks(4096))[:-1])
    with pytest.raises(InvalidFile, match="expected a file of 256 bytes, got 255"):
        Table.open(path, table.header())


def test_a_column_tells_what_a_spec_needs_to_know(table):
    x, big, fine, kind = (info.model_dump() for info in table.info())
    assert x == {"name": "x", "dtype": "float32", "item_shape": [2], "integral": False, "minimum": 0.5, "maximum": 5.0,
                 "distinct": None, "categories": None, "missing": 0}  # fmt: skip
    assert (big["integral"], big["distinct"], big["maximum"]) == (True, None, 2.0**40 + 1)
    assert (fine["integral"], fine["minimum"]) == (False, 0.1)
    assert (kind["categories"], kind["distinct"], kind["minimum"]) == (["a", "b"], 2, None)


def test_whole_numbers_in_a_small_range_are_counted():
    (info,) = read_columns({"y": [-3, 5, 5, 0, -3]}).info()
    assert (info.integral, info.distinct, info.minimum, info.maximum) == (True, 3, -3, 5)
