"""npz: the tensors by their PyTorch names, the description as an array of bytes named "sankofa". numpy.load reads it.

Entries are stored, not compressed: then no file can claim more than it holds, and no version of zlib changes a byte.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Container, Mapping
from math import prod
from tokenize import TokenError
from typing import IO

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.formats.description import KEY, assembled, canonical, checked, describe, parsed

_ENDING = ".npy"
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can tell: times have no place in a canonical file
_TYPES = ("float32", "float64", "uint8")
_TYPES_OF_OTHERS = (*_TYPES, "float16", "int64", "int32")  # those of counters, too, which a state_dict has beside its parameters


def write(artifact: Artifact) -> bytes:
    """The file."""
    described = np.frombuffer(canonical(describe(artifact)).encode("ascii"), dtype=np.uint8)
    file = io.BytesIO()
    write_arrays(file, {**artifact.parameters, KEY: described})
    return file.getvalue()


def write_arrays(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name: equal ones give equal bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, values in sorted(arrays.items()):
            entry = zipfile.ZipInfo(name + _ENDING, _FIRST_DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            packed = io.BytesIO()
            np.lib.format.write_array(packed, np.require(values, requirements="C"), version=(1, 0), allow_pickle=False)
            archive.writestr(entry, packed.getbuffer())


def read(data: bytes) -> Artifact:
    """The artifact. Raises InvalidFile."""
    arrays = arrays_of(data, _TYPES)
    described = arrays.pop(KEY, None)
    if described is None or described.dtype != np.uint8:
        raise InvalidFile(f'the npz file has no entry "{KEY}" of bytes, so it was not written by Sankofa')
    return assembled(checked(parsed(described.tobytes())), arrays)


def arrays_of(data: bytes, types: Container[str] = _TYPES_OF_OTHERS) -> dict[str, np.ndarray]:
    """The arrays of an npz file by name. Raises InvalidFile. Nothing is allocated that the file does not really hold."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise InvalidFile("the npz file is compressed; write it with numpy.savez")
            if sum(entry.file_size for entry in entries) > len(data) or len({entry.filename for entry in entries}) < len(entries):
                raise InvalidFile("the npz file is damaged: its entries claim more than it holds")
            return {entry.filename.removesuffix(_ENDING): _array(entry.filename, archive.read(entry), types) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, UnicodeDecodeError, OverflowError):
        raise InvalidFile("the npz file is damaged, or uses a feature of zip files that numpy does not") from None


def _array(name: str, content: bytes, types: Container[str]) -> np.ndarray:
    """The array of an .npy entry, its claims checked against what is there."""
    file = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise InvalidFile(f"the entry {name!r} is of an unknown version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except (ValueError, SyntaxError, TypeError, TokenError, RecursionError):  # numpy parses the header as Python
        raise InvalidFile(f"the entry {name!r} is not an array of numpy") from None
    raw = content[file.tell() :]
    if dtype.name not in types or dtype.hasobject:
        raise InvalidFile(f"the entry {name!r} holds {dtype}; expected float32 or float64")
    if any(size < 1 for size in shape) or prod(shape) * dtype.itemsize != len(raw):
        raise InvalidFile(f"the entry {name!r} claims the shape {shape}, which is not what it holds")
    values = np.frombuffer(raw, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return values.astype(dtype.newbyteorder("="))
