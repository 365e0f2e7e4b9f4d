"""Files of a trained network. Equal artifacts give equal bytes: no time, no job, no machine is in them.

A format is one file with `write(artifact) -> bytes` and `read(bytes) -> Artifact`; `FORMATS` is the only list of them.
All carry the same description (description.py): what is needed to predict. None of them holds or runs code (no pickle).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.formats import json, npz, safetensors

FormatName = Literal["safetensors", "npz", "json"]


class FormatModule(Protocol):
    """What the module of a format offers."""

    def write(self, artifact: Artifact) -> bytes: ...

    def read(self, data: bytes) -> Artifact: ...


class Format(NamedTuple):
    """A format: the module that writes and reads it, its media type, and how the names of its files end."""

    module: FormatModule
    media_type: str
    extension: str


FORMATS: dict[FormatName, Format] = {
    "safetensors": Format(safetensors, "application/vnd.safetensors", ".safetensors"),
    "npz": Format(npz, "application/x-npz", ".npz"),
    "json": Format(json, "application/json", ".json"),
}


def write(artifact: Artifact, format: FormatName) -> bytes:
    """The file of `artifact` in this format."""
    return FORMATS[format].module.write(artifact)


def read(data: bytes) -> Artifact:
    """The artifact in a file of any of the formats. Raises InvalidFile."""
    if not data:
        raise InvalidFile("expected a file of a trained network, got an empty file")
    if data.startswith(b"PK"):
        return npz.read(data)
    return json.read(data) if data.lstrip()[:1] == b"{" else safetensors.read(data)


__all__ = ["FORMATS", "Format", "FormatName", "read", "write"]
