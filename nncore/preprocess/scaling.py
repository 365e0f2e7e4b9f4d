"""The fitted form of standardize, min_max and image_scale: (x - offset) / scale, feature by feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from nncore.definition import Definition
from nncore.preprocess.step import FeatureStep, FittedFeatures


class Scaling(Definition):
    """One number of each per feature of a column."""

    offset: list[float]
    scale: list[Annotated[float, Field(gt=0)]]


class FittedScale(FittedFeatures):
    """(x - offset) / scale."""

    type: Literal["standardize", "min_max", "image_scale"]
    columns: dict[str, Scaling]

    def apply(self, values: np.ndarray, numbers: Mapping[str, np.ndarray]) -> None:
        values -= numbers["offset"]
        values /= numbers["scale"]


class ScalingStep(FeatureStep):
    """A step whose fitted form is FittedScale."""

    def fitted(self, columns: Mapping[str, Any]) -> FittedScale:
        return FittedScale.model_validate({"type": self.type, "columns": columns})
