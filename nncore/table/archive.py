"""A zip archive that somebody sent: no member is read before it is known how large all can become, and none is unpacked to a disk."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from nncore.errors import Fault, InvalidData
from nncore.faults import short
from nncore.table.limits import JUDGED_BYTES, TableLimits

_MAX_DIRECTORY_BYTES = 32 * 2**20
_MAX_MEMBERS = 200_000
_ENCRYPTED = 1
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError, UnicodeError, struct.error)
_PLACE_OF_SIZE = 5
"""Where `zipfile` keeps the size of the central directory in what it reads of an archive's end."""


@contextmanager
def opened(stream: BinaryIO, limits: TableLimits) -> Iterator[zipfile.ZipFile]:
    """The archive, which unpacks to no more than the limits allow.

    Raises InvalidData, also for what shows only while a member is read: a damaged one, or a name that leads out of the archive.
    """
    try:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]  # the directory is read as a whole: not before it is known to be small
        if end and end[_PLACE_OF_SIZE] > _MAX_DIRECTORY_BYTES:
            raise _refusal("too_many_members", f"expected at most {_MAX_MEMBERS:,} files in the archive, got a directory of many more")
        archive = zipfile.ZipFile(stream)
    except (*_DAMAGED, ValueError, OSError) as error:
        raise _broken() from error
    with archive:
        _check(archive, stream, limits)
        try:
            yield archive
        except _DAMAGED as error:
            raise _broken() from error


def _check(archive: zipfile.ZipFile, stream: BinaryIO, limits: TableLimits) -> None:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise _refusal("too_many_members", f"expected at most {_MAX_MEMBERS:,} files in the archive, got {len(members):,}")
    for member in members:
        if leads_out(member.filename):
            wanted = "names of files within the archive"
            message = f"expected {wanted}, got {short(ascii(member.filename))}; make the archive from inside its folder"
            raise InvalidData(Fault("", "unsafe_name", message, wanted, ascii(member.filename)[:60]))
        if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            how = "encrypted" if member.flag_bits & _ENCRYPTED else "packed in another way"
            raise _refusal("unreadable_member", f"expected files that are stored or deflated, but {short(member.filename)} is {how}")
    packed_bytes = stream.seek(0, 2)
    unpacked_bytes = sum(member.file_size for member in members)
    if unpacked_bytes > limits.max_bytes:
        most = f"at most {limits.max_bytes:,} bytes"
        raise InvalidData(Fault("", "too_large", f"expected {most} in the archive, got {unpacked_bytes:,}; send less", most))
    if unpacked_bytes > max(JUDGED_BYTES, limits.max_unpacked_ratio * packed_bytes):
        most = f"at most {limits.max_unpacked_ratio:,} to 1"
        message = (
            f"expected at most {limits.max_unpacked_ratio:,} bytes from each byte of the archive, got {unpacked_bytes:,} from "
            f"{packed_bytes:,}; "
            "send it stored, not packed"
        )
        raise InvalidData(Fault("", "unpacks_too_far", message, most))


def leads_out(name: str) -> bool:
    """Whether a member's name is a path out of the archive, or none that could be printed."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or not name.isprintable() or len(name) > 1000


def _broken() -> InvalidData:
    return _refusal("broken_zip", "expected a whole zip archive, got one that is damaged or cut off; make it again")


def _refusal(code: str, message: str) -> InvalidData:
    return InvalidData(Fault("", code, message))
