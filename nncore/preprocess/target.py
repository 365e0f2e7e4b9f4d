"""The preprocessing of a target of numbers: (y - offset) / scale of each output, fitted on the training rows, undone in every answer.

    {"type": "standardize"}     mean 0, deviation 1
    {"type": "min_max"}         0 to 1

A network learns best when its outputs are around 1, whatever the unit of the target. Losses are of the scaled numbers; metrics, baselines
and predictions are in the target's own unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from nncore.definition import Definition
from nncore.preprocess.fitting import fit_and_apply
from nncore.preprocess.min_max import MinMax
from nncore.preprocess.scaling import Scaling
from nncore.preprocess.standardize import Standardize
from nncore.table import Column


class TargetPreprocessSpec(Definition):
    """How the numbers of the target are scaled."""

    type: Literal["standardize", "min_max"]


class FittedTarget(Scaling):
    """One offset and one scale for each output of the network."""

    type: Literal["standardize", "min_max"]

    def done(self, targets: np.ndarray) -> np.ndarray:
        """(rows, outputs) float64: numbers of the target, scaled."""
        return np.asarray((targets.astype(np.float64) - np.array(self.offset)) / np.array(self.scale))

    def undone(self, outputs: np.ndarray) -> np.ndarray:
        """(rows, outputs), in the unit of the target; computed in float64, and rounded to the dtype of `outputs`."""
        with np.errstate(over="ignore"):
            return np.asarray((outputs.astype(np.float64) * np.array(self.scale) + np.array(self.offset)).astype(outputs.dtype))


def fit_target(target: Column, step: TargetPreprocessSpec, training_rows: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Writes the scaled target into `targets`, (rows, outputs); answers the fitted form, as JSON."""
    kind = {"standardize": Standardize, "min_max": MinMax}[step.type]
    (fitted,) = fit_and_apply(targets, [target], [kind(columns=[target.name])], training_rows)
    return {"type": step.type, **fitted["columns"][target.name]}


def fitted_target(saved: Mapping[str, Any] | None) -> FittedTarget | None:
    """The fitted form that was saved as JSON. Raises pydantic's ValidationError where that is not what it is."""
    return None if saved is None else FittedTarget.model_validate(dict(saved))
