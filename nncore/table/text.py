"""Blocks of whole lines of text from a stream of bytes: gzip undone, UTF-8 decoded, line ends made alike, all of it bounded.

Only one block is held at a time, and where a block is cut depends on the text alone, not on how the stream delivered it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from nncore.errors import Fault, InvalidData
from nncore.table.limits import JUDGED_BYTES, TableLimits

BLOCK_BYTES = 2**20
_BLOCK_LINES = 2**15
_READ_BYTES = 2**18

_OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive or an Excel sheet (save it as CSV)",
    b"\xd0\xcf\x11\xe0": "an Excel sheet (save it as CSV)",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array file",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF",
    b"\xff\xfe": "text in UTF-16 (save it as UTF-8)",
    b"\xfe\xff": "text in UTF-16 (save it as UTF-8)",
}


@dataclass(frozen=True)
class Block:
    """Some lines in a row, without their line ends. first_line counts from 1. quoted: a double quote is among them."""

    lines: list[str]
    first_line: int
    quoted: bool


def read_blocks(stream: BinaryIO, limits: TableLimits) -> Iterator[Block]:
    """The whole stream as blocks of about BLOCK_BYTES, or less where lines are short.

    Raises InvalidData where the stream is not text, or is too large.
    """
    buffer = bytearray()
    line = 1
    for piece in _with_plain_line_ends(_unpacked(_pieces(stream), limits)):
        buffer += piece
        while len(buffer) >= BLOCK_BYTES:
            size_bytes = BLOCK_BYTES
            while buffer.count(b"\n", 0, size_bytes) > _BLOCK_LINES:
                size_bytes //= 2  # a short line takes far more as an object of its own than as bytes
            cut = buffer.rfind(b"\n", 0, size_bytes) + 1 or buffer.find(b"\n", size_bytes) + 1
            if not cut:
                if len(buffer) > limits.max_line_bytes:
                    raise _refusal("line_too_long", f"line {line} is longer than {limits.max_line_bytes:,} bytes")
                break
            block = _block(bytes(buffer[:cut]), line)
            del buffer[:cut]
            yield block
            line += len(block.lines)
    if buffer:
        yield _block(bytes(buffer), line)


def _block(raw: bytes, first_line: int) -> Block:
    try:
        text = raw.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        # The positions of utf-8-sig may lie behind a mark of three bytes: the line is the same.
        line = first_line + raw[: error.start].count(b"\n")
        raise _refusal(
            "not_utf8",
            f"line {line}: expected UTF-8 text, got the byte 0x{raw[error.start]:02x}; save the file as UTF-8",
            expected="UTF-8 text",
            got=f"the byte 0x{raw[error.start]:02x}",
        ) from None
    lines = text.removesuffix("\n").split("\n")
    return Block(lines, first_line, '"' in text)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """The stream, with enough in the first piece to tell what it is."""
    first = b""
    while len(first) < 4 and (more := stream.read(_READ_BYTES)):
        first += more
    for mark, kind in _OTHER_KINDS.items():
        if first.startswith(mark):
            raise _refusal("not_csv", f"expected CSV text, got {kind}", expected="CSV text in UTF-8", got=kind)
    while first:
        yield first
        first = stream.read(_READ_BYTES)


def _unpacked(pieces: Iterator[bytes], limits: TableLimits) -> Iterator[bytes]:
    size_bytes = 0
    first = next(pieces, b"")
    rest = _gunzipped(first, pieces, limits.max_unpacked_ratio) if first.startswith(b"\x1f\x8b") else _chained(first, pieces)
    for piece in rest:
        size_bytes += len(piece)
        if size_bytes > limits.max_bytes:
            raise _refusal(
                "too_large",
                f"expected at most {limits.max_bytes:,} bytes of text, got more; send fewer rows or columns",
                expected=f"at most {limits.max_bytes:,} bytes",
            )
        yield piece


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _gunzipped(first: bytes, rest: Iterator[bytes], max_ratio: int) -> Iterator[bytes]:
    """Undoes gzip (one member after another) in pieces of at most _READ_BYTES, however well they are packed."""
    member = zlib.decompressobj(wbits=31)
    packed_bytes = unpacked_bytes = 0
    try:
        for packed in _chained(first, rest):
            waiting = packed
            while waiting:
                if member.eof:
                    waiting = waiting.lstrip(b"\0")  # some writers fill up the last block
                    if not waiting:
                        break
                    member = zlib.decompressobj(wbits=31)
                unpacked = member.decompress(waiting, _READ_BYTES)
                left = member.unused_data if member.eof else member.unconsumed_tail
                packed_bytes += len(waiting) - len(left)
                unpacked_bytes += len(unpacked)
                if unpacked_bytes > max(JUDGED_BYTES, max_ratio * packed_bytes):
                    raise _refusal(
                        "unpacks_too_far",
                        f"expected at most {max_ratio:,} bytes of text from each byte of the gzip file, got {unpacked_bytes:,} from the "
                        f"first {packed_bytes:,}; send the file unpacked",
                        expected=f"at most {max_ratio:,} to 1",
                    )
                if unpacked:
                    yield unpacked
                waiting = left
        while not member.eof and (unpacked := member.decompress(b"", _READ_BYTES)):
            yield unpacked
    except zlib.error:
        raise _refusal("broken_gzip", "expected a whole gzip file, got one that is damaged; pack it again") from None
    if not member.eof:
        raise _refusal("broken_gzip", "expected a whole gzip file, got one that ends too early; send it again")


def _with_plain_line_ends(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """\\r\\n and \\r become \\n, also where a piece ends between the two."""
    held = b""
    for piece in pieces:
        piece = held + piece
        held = b"\r" if piece.endswith(b"\r") else b""
        if b"\r" in piece:
            piece = piece.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield piece
    if held:
        yield b"\n"


def _refusal(code: str, message: str, *, expected: str | None = None, got: str | None = None) -> InvalidData:
    return InvalidData(Fault("", code, message, expected, got))
