"""Each fitted preprocessing step as lines of a script. `STEPS` names the rule of every type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from nncore.formats.python.script import Script
from nncore.preprocess import FittedMinMax, FittedStandardize, fitted_steps


def preprocessed(script: Script, steps: Sequence[Mapping[str, Any]], shape: tuple[int, ...], dtype: str) -> None:
    """x (rows, numbers) in float64 goes through the steps, and becomes items of `shape` in the dtype of the network."""
    for number, step in enumerate(fitted_steps(steps, prod(shape))):
        STEPS[step.type](script, step, f"preprocessing.{number}")
    script.line(f'x = x.astype("{dtype}").reshape(len(x), {", ".join(map(str, shape))})', shape)


def standardize(script: Script, step: FittedStandardize, named: str) -> None:
    mean, scale = script.array(f"{named}.mean", np.array(step.mean)), script.array(f"{named}.scale", np.array(step.scale))
    script.line(f"x = (x - {mean}) / {scale}")


def min_max(script: Script, step: FittedMinMax, named: str) -> None:
    least, scale = script.array(f"{named}.minimum", np.array(step.minimum)), script.array(f"{named}.scale", np.array(step.scale))
    script.line(f"x = (x - {least}) / {scale}")


STEPS: dict[str, Callable[[Script, Any, str], None]] = {"standardize": standardize, "min_max": min_max}
