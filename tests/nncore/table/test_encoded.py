"""JSON columns of packed numbers."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from nncore.errors import InvalidData
from nncore.table.json import read_columns


def packed(values: np.ndarray, **changed: object) -> dict[str, object]:
    text = base64.b64encode(values.tobytes()).decode()
    return {"dtype": values.dtype.name, "shape": list(values.shape), "base64": text, **changed}


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "bool"])
def test_packed_numbers_are_the_same_table_as_listed_ones(dtype):
    values = np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype)
    plain = read_columns({"x": values.astype(int).tolist(), "y": ["a", "b", "a"]})
    assert read_columns({"x": packed(values), "y": ["a", "b", "a"]}).digest == plain.digest


X = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("column", "at"),
    [
        (packed(X, dtype="object"), "/x/dtype"),
        (packed(X, shape=[2, 3]), "/x/base64"),
        (packed(X, shape=[2**40, 2**40]), "/x"),
        (packed(X, shape=[-1, 2]), "/x/shape"),
        (packed(X, shape=[True, 2]), "/x/shape"),
        (packed(X, base64="AAAA*"), "/x/base64"),
        (packed(X, base64=7), "/x/base64"),
        (packed(X, more=1), "/x"),
        ({}, "/x"),
        (packed(X + np.float32(np.nan)), "/x/0/0"),
    ],
)
def test_what_is_wrong_is_pointed_at(column, at):
    with pytest.raises(InvalidData) as caught:
        read_columns({"x": column})
    assert [fault.pointer for fault in caught.value.faults] == [at]


def test_rows_are_compared_with_those_of_listed_columns():
    with pytest.raises(InvalidData) as caught:
        read_columns({"x": packed(X), "y": [1, 2], "z": [1, 2, 3]})
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/z", "unequal_lengths")]
