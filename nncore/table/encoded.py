"""A JSON column whose numbers are packed: {"dtype": "float32", "shape": [rows, ...], "base64": "..."}, little-endian, in C order."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from nncore.faults import Faults, one_of, pointer, short
from nncore.table.arrays import column_of, shape_fault
from nncore.table.column import Column
from nncore.table.limits import TableLimits

_DTYPES = ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")


def read_encoded(name: str, packed: Mapping[str, Any], limits: TableLimits, faults: Faults, *, may_miss: bool = False) -> Column | None:
    """The column, or None with the reasons in `faults`."""
    called, before = f"column {short(name)}", len(faults.found)
    dtype, shape, text = (packed.get(key) for key in ("dtype", "shape", "base64"))
    if packed.keys() != {"dtype", "shape", "base64"}:
        wanted = 'an object of "dtype", "shape" and "base64"'
        got = f"one of {one_of(map(str, packed))}" if packed else "an empty object"
        faults.add(pointer(name), "wrong_object", f"{called}: expected a list of rows, or {wanted}; got {got}", expected=wanted, got=got)
        return None
    if dtype not in _DTYPES:
        wanted = one_of(_DTYPES)
        faults.add(
            pointer(name, "dtype"), "wrong_dtype", f"{called}: expected {wanted}, got {short(dtype)}", expected=wanted, got=short(dtype)
        )
    if not isinstance(shape, list) or not all(type(length) is int and 0 <= length < 2**63 for length in shape):
        wanted = "a list of whole numbers, that of rows first"
        faults.add(
            pointer(name, "shape"), "wrong_shape", f"{called}: expected {wanted}, got {short(shape)}", expected=wanted, got=short(shape)
        )
    if not isinstance(text, str):
        faults.add(
            pointer(name, "base64"), "wrong_type", f"{called}: expected a text, got {short(text)}", expected="a text", got=short(text)
        )
    if len(faults.found) > before or faults.full or not isinstance(shape, list):
        return None
    stored = np.dtype(str(dtype)).newbyteorder("<")
    if shape_fault(name, tuple(shape), stored, limits, faults):
        return None
    try:
        data = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        faults.add(
            pointer(name, "base64"), "not_base64", f"{called}: expected base64 with its padding, got another text", expected="base64"
        )
        return None
    expected = prod(shape) * stored.itemsize
    if len(data) != expected:
        wanted = f"{expected:,} bytes, as dtype and shape say"
        message = f"{called}: expected {wanted}, got {len(data):,}"
        faults.add(pointer(name, "base64"), "wrong_size", message, expected=wanted, got=f"{len(data):,}")
        return None
    return column_of(name, np.frombuffer(data, stored).reshape(shape), limits, faults, may_miss=may_miss)
