"""Preprocessing of inputs: fitted on the training rows only, saved with the network, applied again by every prediction.

A step is one file: its spec (what a user writes), its fitted form (what is saved, JSON) and how that is applied. Steps work in
float64, feature by feature, before the numbers become what the network computes in: a column of dates keeps its seconds.
`PreprocessSpec` is the only list of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter

from nncore.preprocess.min_max import FittedMinMax, MinMax
from nncore.preprocess.standardize import FittedStandardize, Standardize

PreprocessSpec = Annotated[Standardize | MinMax, Field(discriminator="type")]
FittedPreprocess = Annotated[FittedStandardize | FittedMinMax, Field(discriminator="type")]

_fitted_steps: TypeAdapter[list[FittedPreprocess]] = TypeAdapter(list[FittedPreprocess])


def fitted_steps(steps: Sequence[Mapping[str, Any]], features: int) -> list[FittedPreprocess]:
    """The fitted steps that were saved as JSON.

    Raises pydantic's ValidationError where that is not what they are, ValueError where they are of another number of features.
    """
    fitted = _fitted_steps.validate_python([dict(step) for step in steps])
    for step in fitted:
        if step.features != features:
            raise ValueError(f"a fitted {step.type} step is of {step.features} features, expected {features}")
    return fitted


def apply_steps(steps: Sequence[Mapping[str, Any]], inputs: np.ndarray) -> None:
    """Overwrites `inputs`, (rows, features) float64, with what the fitted `steps` (JSON) make of them, one after the other."""
    for step in fitted_steps(steps, inputs.shape[1]):
        step.apply(inputs)


__all__ = [
    "FittedMinMax",
    "FittedPreprocess",
    "FittedStandardize",
    "MinMax",
    "PreprocessSpec",
    "Standardize",
    "apply_steps",
    "fitted_steps",
]
