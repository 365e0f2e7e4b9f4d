"""Files of a trained network. Equal artifacts give equal bytes: no time, no job, no machine is in them.

A format is one module with `write(artifact) -> bytes` and, where we read it too, `read(bytes) -> Artifact`; `FORMATS` is the only list of
them. All carry the same description (description.py): what is needed to predict. None of them is a pickle, and what is read holds no code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.formats import json, npz, onnx, python, safetensors

FormatName = Literal["safetensors", "npz", "json", "onnx", "python"]


class Format(NamedTuple):
    """A format: what writes it, what reads it (None: other programs do), its media type, and how the names of its files end."""

    write: Callable[[Artifact], bytes]
    read: Callable[[bytes], Artifact] | None
    media_type: str
    extension: str


FORMATS: dict[FormatName, Format] = {
    "safetensors": Format(safetensors.write, safetensors.read, "application/vnd.safetensors", ".safetensors"),
    "npz": Format(npz.write, npz.read, "application/x-npz", ".npz"),
    "json": Format(json.write, json.read, "application/json", ".json"),
    "onnx": Format(onnx.write, None, "application/onnx", ".onnx"),
    "python": Format(python.write, None, "text/x-python", ".py"),
}


def write(artifact: Artifact, format: FormatName) -> bytes:
    """The file of `artifact` in this format."""
    return FORMATS[format].write(artifact)


def read(data: bytes) -> Artifact:
    """The artifact in a file of any of the formats that are read. Raises InvalidFile."""
    if not data:
        raise InvalidFile("expected a file of a trained network, got an empty file")
    if data.startswith(b"PK"):
        return npz.read(data)
    return json.read(data) if data.lstrip()[:1] == b"{" else safetensors.read(data)


__all__ = ["FORMATS", "Format", "FormatName", "read", "write"]
