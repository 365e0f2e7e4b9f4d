"""Reading safetensors with numpy alone."""

from __future__ import annotations

import contextlib
import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from sankofa import InvalidFile, read_safetensors, safetensors_metadata


def file_of(header: object, numbers: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_what_safetensors_wrote_is_read(dtype: str) -> None:
    written = {
        "0.weight": np.arange(6).reshape(2, 3).astype(dtype),
        "0.bias": np.ones(2, dtype),
        "none": np.zeros((0, 3), dtype),
        "one": np.array(3, dtype),
    }
    data = safetensors.numpy.save(written, metadata={"sankofa": "{}"})
    read = read_safetensors(data)
    assert read.keys() == written.keys()
    for name, values in written.items():
        assert read[name].dtype == values.dtype
        np.testing.assert_array_equal(read[name], values)
    assert safetensors_metadata(data) == {"sankofa": "{}"}


ONE = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 1 << 40),
        file_of(b"not json"),
        file_of(b"[" * 100_000),
        file_of([1]),
        file_of({"x": 1}),
        file_of({"x": {"dtype": "F32", "shape": [2]}}),
        file_of({"x": {"dtype": "PICKLE", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        file_of({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, bytes(8)),
        file_of({"x": {"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]}}, bytes(8)),
        file_of({"x": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}, bytes(8)),
        file_of({"x": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}, bytes(8)),
        file_of({"x": {"dtype": "F32", "shape": [1 << 41], "data_offsets": [0, 1 << 43]}}, bytes(8)),
        file_of({"x": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}, bytes(8)),
        file_of(ONE, bytes(7)),
    ],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidFile):
        read_safetensors(data)


def test_metadata_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidFile):
        safetensors_metadata(file_of({"__metadata__": 3}))


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_crash_the_reader(data: bytes, framed: bool) -> None:
    with contextlib.suppress(InvalidFile):
        read_safetensors(file_of(data) if framed else data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.text(max_size=3),
        json_values | st.fixed_dictionaries({"dtype": st.sampled_from(["F32", "U8"]), "shape": json_values, "data_offsets": json_values}),
        max_size=3,
    )
)
def test_no_header_crashes_the_reader(header: dict[str, object]) -> None:
    with contextlib.suppress(InvalidFile):
        read_safetensors(file_of(header, bytes(64)))
