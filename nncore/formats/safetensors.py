"""safetensors: the tensors by their PyTorch names, the description as metadata. `safetensors.torch.load_file` reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.formats.description import KEY, Description, assembled, canonical, checked, describe, parsed

_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


def write(artifact: Artifact) -> bytes:
    """The file. safetensors writes transposed and strided arrays as if they were not, so all are made C-contiguous first."""
    tensors = {name: np.require(values, requirements="C") for name, values in artifact.parameters.items()}
    return safetensors.numpy.save(tensors, metadata={KEY: canonical(describe(artifact))})


def read(data: bytes) -> Artifact:
    """The artifact. Raises InvalidFile."""
    tensors, metadata = tensors_of(data)
    if not isinstance(metadata.get(KEY), str):
        raise InvalidFile(f'the safetensors file has no metadata "{KEY}", so it was not written by Sankofa')
    return assembled(checked(parsed(metadata[KEY])), tensors)


def described(read: Callable[[int, int], bytes]) -> Description:
    """What a file of ours says of its network, without its tensors. read: gives the bytes [start, stop). Raises InvalidFile."""
    size = int.from_bytes(read(0, 8), "little")
    header = parsed(read(8, 8 + min(size, _MAX_HEADER_BYTES)))
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise InvalidFile(f'the safetensors file has no metadata "{KEY}", so it was not written by Sankofa')
    return checked(parsed(metadata[KEY]))


def tensors_of(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors of a safetensors file, and its metadata. Raises InvalidFile."""
    header_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 10 or header_bytes > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise InvalidFile("not a safetensors file, or one that was cut short")
    header = parsed(data[8 : 8 + header_bytes])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    try:
        return safetensors.numpy.load(data), metadata if isinstance(metadata, dict) else {}
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:  # sizes that do not add up, types numpy lacks
        raise InvalidFile(f"the safetensors file is damaged, or holds numbers of a type that numpy lacks: {error}") from None
