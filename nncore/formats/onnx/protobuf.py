"""Bytes of protobuf messages, as far as ONNX needs them. A message is a list of (number of the field, value), in the order written.

    int             a varint; negative numbers in two's complement of 64 bits
    float           four bytes, little-endian
    bytes, str      their length as a varint, then the bytes; a message within another is bytes

Repeated fields are written one by one. Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

Field = tuple[int, int | float | bytes | str]

VARINT, LENGTH_DELIMITED, FIXED_32 = 0, 2, 5  # wire types


def message(fields: Iterable[Field]) -> bytes:
    """The bytes of a message."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_key(number, VARINT), varint(value)]
        elif isinstance(value, float):
            parts += [_key(number, FIXED_32), struct.pack("<f", value)]
        else:
            data = value.encode() if isinstance(value, str) else value
            parts += [_key(number, LENGTH_DELIMITED), varint(len(data)), data]
    return b"".join(parts)


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have their highest bit set."""
    number &= 2**64 - 1
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _key(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)
