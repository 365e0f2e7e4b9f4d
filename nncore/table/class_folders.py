"""read_folders: a table from an archive of pictures or sounds in folders that are named for their classes.

    cats/1.png  cats/2.png  dogs/1.png      label: the folder; picture, or sound
    train/cats/1.png  test/dogs/1.png       set: the outer folder, besides

Folders that hold everything count as nothing. All pictures are of one size and mode, all sounds of one length, rate and number of
channels: nothing is cut or scaled behind anybody's back.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.faults import Faults, one_of, short
from nncore.table.arrays import Scratch, shape_fault
from nncore.table.column import Column
from nncore.table.limits import TableLimits
from nncore.table.media import Medium, Unreadable, medium_of
from nncore.table.table import Table

ENDINGS = {".png": "picture", ".jpg": "picture", ".jpeg": "picture", ".wav": "sound"}
_MAX_MEMBER_BYTES = 256 * 2**20


def read_folders(
    archive: zipfile.ZipFile,
    *,
    limits: TableLimits = TableLimits(),  # noqa: B008 (frozen)
    scratch: Scratch = np.empty,
) -> tuple[Table, dict[str, Any]]:
    """The table of an archive opened by `archive.opened`, rows in the order of their names; and what its files have in common.

    Columns: picture (channels, height, width), 0 to 255 as they are stored, or sound (samples,), or (channels, samples), from -1 to 1;
    label; set, where there are two layers of folders. Raises InvalidData with every fault found.
    """
    members = sorted((member for member in archive.infolist() if _counts(member.filename)), key=lambda member: member.filename)
    folders, kind = _layout([member.filename for member in members])
    if len(members) > limits.max_rows:
        most = f"at most {limits.max_rows:,} rows"
        raise InvalidData(Fault("", "too_many_rows", f"expected {most}, got {len(members):,} files", most))
    faults = Faults()
    values, first, first_name = None, None, ""
    decode = medium_of(kind)
    for row, member in enumerate(members):
        found = _read(archive, member, decode, faults)
        if found is None:
            if faults.full:
                break
            continue
        if first is None:
            first, first_name = found, member.filename
            if shape_fault(kind, (len(members), *found.values.shape), np.dtype(np.float32), limits, faults):
                break
            values = scratch((len(members), *found.values.shape), np.dtype(np.float32))
        elif found.describes != first.describes:
            wanted = f"{_told(first.describes)}, as {short(first_name)} has"
            message = f"{short(member.filename)}: expected {wanted}, got {_told(found.describes)}; bring them all to one"
            faults.add("", "odd_one", message, expected=wanted, got=_told(found.describes))
            continue
        assert values is not None
        values[row] = found.values
    if faults or values is None or first is None:
        raise InvalidData(faults.found)
    columns = [Column(kind, values), _category("label", [labels[-1] for labels in folders])]
    if len(folders[0]) == 2:
        columns.append(_category("set", [labels[0] for labels in folders]))
    return Table(columns), first.describes


def _counts(name: str) -> bool:
    """False for folders themselves, and for what a Mac leaves everywhere."""
    parts = name.split("/")
    return not (name.endswith("/") or parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1] == "Thumbs.db")


def _layout(names: list[str]) -> tuple[list[list[str]], str]:
    """For each file its folders, one or two of them, and what all files are: picture or sound."""
    if not names:
        raise InvalidData(Fault("", "empty", "expected arrays, or pictures or sounds in folders, got an archive without files"))
    kinds = {ENDINGS.get("." + name.rpartition(".")[2].lower()) for name in names}
    if kinds - {"picture", "sound"} or len(kinds) > 1:
        wanted = f"files that end in {one_of(ENDINGS)}, of one kind"
        odd = next((name for name in names if "." + name.rpartition(".")[2].lower() not in ENDINGS), names[0])
        more = "; save the sheet as CSV" if "[Content_Types].xml" in names else ""
        message = f"expected arrays (.npy), or {wanted}, in the archive, got {short(odd)}{more}"
        raise InvalidData(Fault("", "wrong_member", message, wanted, short(odd)))
    folders = [name.split("/")[:-1] for name in names]
    while all(len(labels) > 1 for labels in folders) and len({labels[0] for labels in folders}) == 1:
        folders = [labels[1:] for labels in folders]
    if {len(labels) for labels in folders} not in ({1}, {2}):
        wanted = "CLASS/FILE or SET/CLASS/FILE, all alike"
        odd = next(name for name, labels in zip(names, folders, strict=True) if len(labels) not in (1, 2) or len(labels) != len(folders[0]))
        raise InvalidData(Fault("", "wrong_folders", f"expected {wanted}, got {short(odd)} among others", wanted, short(odd)))
    return folders, str(kinds.pop())


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, decode: Callable[[bytes], Medium], faults: Faults) -> Medium | None:
    if member.file_size > _MAX_MEMBER_BYTES:
        most = f"at most {_MAX_MEMBER_BYTES:,} bytes"
        faults.add("", "too_large", f"{short(member.filename)}: expected {most}, got {member.file_size:,}", expected=most)
        return None
    try:
        return decode(archive.read(member))
    except Unreadable as error:
        faults.add("", "unreadable_medium", f"{short(member.filename)}: {error}")
        return None


def _category(name: str, texts: list[str]) -> Column:
    categories, codes = np.unique(np.array(texts), return_inverse=True)
    return Column(name, codes.astype(np.int64), tuple(categories.tolist()))


def _told(describes: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in describes.items())
