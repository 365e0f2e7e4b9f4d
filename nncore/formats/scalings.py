"""Fitted preprocessing as exports write it: for each step, what is taken away from every feature, and what the rest is divided by."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidSpec
from nncore.preprocess import preprocessing
from nncore.preprocess.scaling import FittedScale

NOT_EXPORTED = ("one_hot", "bag_of_words", "log_mel")
"""Steps that make new features. A network behind one of them is written as safetensors, npz and json only."""


class Scaling(NamedTuple):
    """x becomes (x - offset) / scale; both are (features,) float64. Features of columns that the step is not of stay as they are."""

    offset: np.ndarray
    scale: np.ndarray


def scalings(artifact: Artifact, format: str) -> list[Scaling]:
    """The steps in their order. Raises InvalidSpec where one of them makes new features."""
    found = []
    for step in preprocessing(artifact.preprocessing, artifact.input_names, artifact.item_shapes).steps:
        if not isinstance(step, FittedScale):
            message = f"a network behind the step {step.type} is not exported as {format}; take safetensors, npz or json"
            raise InvalidSpec(Fault("/preprocess", "not_exported", message, "steps that scale", step.type))
        numbers = [
            step.numbers(name) if name in step.columns else _as_they_are(prod(shape or ()))
            for name, shape in zip(artifact.input_names, artifact.item_shapes, strict=True)
        ]
        found.append(Scaling(*(np.concatenate([each[key] for each in numbers]) for key in Scaling._fields)))
    return found


def _as_they_are(features: int) -> dict[str, np.ndarray]:
    return {"offset": np.zeros(features), "scale": np.ones(features)}
