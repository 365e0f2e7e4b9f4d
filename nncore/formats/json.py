"""JSON: the description with "parameters" beside it, nested lists by their PyTorch names. Any language reads it.

A float32 is written with the fewest digits that give the same float32 again.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import InvalidFile
from nncore.formats.description import assembled, canonical, checked, describe, parameter_shapes, parsed


def write(artifact: Artifact) -> bytes:
    """The file."""
    parameters = {name: _shortest(values).tolist() for name, values in artifact.parameters.items()}
    return canonical({**describe(artifact), "parameters": parameters}).encode("ascii")


def read(data: bytes) -> Artifact:
    """The artifact. Raises InvalidFile."""
    content = parsed(data)
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise InvalidFile('the JSON is not a trained network: it has no "parameters"')
    nested = content.pop("parameters")
    description = checked(content)
    expected = parameter_shapes(description)
    unknown = nested.keys() - expected.keys()
    if unknown:
        raise InvalidFile(f"parameter {min(unknown)!r} does not belong to the network")
    missing = expected.keys() - nested.keys()
    if missing:
        raise InvalidFile(f"parameter {min(missing)!r} is missing")
    return assembled(description, {name: _array(name, nested[name], shape, description.dtype) for name, shape in expected.items()})


def _shortest(values: np.ndarray) -> np.ndarray:
    """float64 of the same shape that print as briefly as `values` do."""
    return values if values.dtype == np.float64 else values.astype(str).astype(np.float64)


def _array(name: str, nested: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Nested lists of numbers as an array of exactly this shape."""
    cells = [nested]
    for size in shape:
        if not all(isinstance(cell, list) and len(cell) == size for cell in cells):
            raise InvalidFile(f"parameter {name!r}: expected lists of the shape {shape}")
        cells = list(chain.from_iterable(cells))
    if not set(map(type, cells)) <= {int, float}:
        raise InvalidFile(f"parameter {name!r}: expected numbers only")
    try:
        with np.errstate(over="ignore"):
            return np.array(cells, dtype=np.float64).astype(dtype).reshape(shape)
    except OverflowError:
        raise InvalidFile(f"parameter {name!r} holds a number beyond 1.8e308") from None
