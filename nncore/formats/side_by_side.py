"""Fitted preprocessing as exports write it where no step makes new features: the same numbers for every feature, side by side."""

from __future__ import annotations

from math import nan, prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.machine.kernels import Array
from nncore.preprocess import preprocessing

UNCHANGED = {"offset": 0.0, "scale": 1.0, "fill": nan}
"""The numbers that leave a feature as it is."""

TAKE_MISSING = ("impute", "missing_indicator")


def steps_of(artifact: Artifact) -> list[Any]:
    """The fitted steps in their order."""
    return list(preprocessing(artifact.preprocessing, artifact.input_names, artifact.item_shapes).steps)


def side_by_side(artifact: Artifact) -> list[dict[str, Array]] | None:
    """The steps in their order, each by the numbers of its formula, (features,) float64: offset and scale of (x - offset) / scale, or
    fill, which stands where x is NaN. None where a step makes new features.
    """
    steps = steps_of(artifact)
    if any(step.makes_features for step in steps):
        return None
    found = []
    for step in steps:
        keys = type(next(iter(step.columns.values()))).model_fields
        parts: dict[str, list[Array]] = {key: [] for key in keys}
        for name, shape in zip(artifact.input_names, artifact.item_shapes, strict=True):
            numbers = step.numbers(name) if name in step.columns else {}
            for key, part in parts.items():
                part.append(numbers.get(key, np.full(prod(shape or ()), UNCHANGED[key])))
        found.append({key: np.concatenate(part) for key, part in parts.items()})
    return found


def may_miss(steps: list[Any], name: str) -> bool:
    """Whether numbers of the column may be missing, NaN: the first of its steps can do with it."""
    first = next((step for step in steps if name in step.columns), None)
    return first is not None and first.type in TAKE_MISSING
