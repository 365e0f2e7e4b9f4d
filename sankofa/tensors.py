"""A safetensors file as numpy arrays, with numpy alone.

The format: eight bytes (little-endian length of the header), the header (JSON: tensor name -> dtype, shape, data_offsets; and
`__metadata__`), then the raw little-endian numbers. Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from sankofa.errors import InvalidFile

if TYPE_CHECKING:
    import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1", "BOOL": "?"}
MAX_HEADER_BYTES = 100_000_000


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, by name, in the file's order. Read-only views of `data`: nothing is copied.

    Raises InvalidFile for bytes that are cut off, claim more than they hold, or are no such file.
    """
    import numpy as np

    header, start = _header(data)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (first, last) = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"]), entry["data_offsets"]
            whole = all(type(number) is int and number >= 0 for number in (*shape, first, last))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidFile(f"tensor {name!r}: expected dtype, shape and two data_offsets, got {entry!r}") from error
        # Python's integers do not overflow, so a shape that claims 8 TiB is seen here and nothing is allocated for it.
        if not whole or last - first != math.prod(shape) * dtype.itemsize or start + last > len(data):
            raise InvalidFile(f"tensor {name!r}: {entry!r} does not fit a file of {len(data)} bytes")
        tensors[name] = np.frombuffer(data, dtype, math.prod(shape), start + first).reshape(shape)
    return tensors


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """The `__metadata__` of a safetensors file: text by name; Sankofa's own is JSON under "sankofa"."""
    metadata = _header(data)[0].get("__metadata__", {})
    if not isinstance(metadata, dict):
        raise InvalidFile(f"__metadata__: expected an object, got {metadata!r}")
    return metadata


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header and the offset at which the numbers begin."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, MAX_HEADER_BYTES):
        raise InvalidFile(f"not a safetensors file, or cut off: {len(data)} bytes, of which the header claims {length}")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"not a safetensors file: its header is not JSON ({type(error).__name__})") from error
    if not isinstance(header, dict):
        raise InvalidFile(f"not a safetensors file: its header is not a JSON object but {type(header).__name__}")
    return header, 8 + length
