"""Fitted preprocessing as lines of a script. Where no step makes new features, `forward` begins with them; where one does, a function
`prepare` goes through the columns one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.formats.python.script import Script
from nncore.formats.side_by_side import may_miss, side_by_side, steps_of
from nncore.machine.kernels import Array

PREPARE = '''
def prepare(inputs):
    """(rows, {features}): the columns, preprocessed and laid side by side."""
    columns, parts = by_column(inputs, INPUTS), []
    {lines}
    return np.concatenate(parts, axis=1)
'''


def preprocessed(script: Script, artifact: Artifact) -> tuple[str, str]:
    """The expression of the rows that `forward` takes, and the text of `prepare`, or "" where `forward` begins with the steps."""
    steps, features, shape = side_by_side(artifact), prod(artifact.input_shape), artifact.input_shape
    for number, numbers in enumerate(steps or ()):
        script.line(f"x = {_formula(script, numbers, f'preprocessing.{number}')}")
    script.line(f'x = x.astype("{artifact.dtype}").reshape(len(x), {", ".join(map(str, shape))})', shape)
    if steps is None:
        return "prepare(inputs)", PREPARE.format(features=features, lines="\n    ".join(_columns(script, artifact)))
    missing = any(may_miss(steps_of(artifact), name) for name in artifact.input_names)
    return f"side_by_side(inputs, INPUTS, {features}{', may_miss=True' if missing else ''})", ""


def _columns(script: Script, artifact: Artifact) -> list[str]:
    """The lines of `prepare`."""
    lines, steps = [], steps_of(artifact)
    for at, (name, shape) in enumerate(zip(artifact.input_names, artifact.item_shapes, strict=True)):
        given, missing = f"columns[INPUTS[{at}]]", ", may_miss=True" if may_miss(steps, name) else ""
        lines.append(f"x = {given}" if shape is None else f"x = as_numbers({given}, {prod(shape)}{missing})")
        for number, step in enumerate(steps):
            if name in step.columns:
                lines.append(f"x = {STEPS[step.type](script, step, step.columns[name], f'preprocessing.{number}.{at}')}")
        lines.append("parts.append(x)")
    return lines


def _formula(script: Script, numbers: Mapping[str, Array], named: str) -> str:
    """(x - offset) / scale, or fill where x is missing."""
    arrays = {key: script.array(f"{named}.{key}", values) for key, values in numbers.items()}
    return f"np.where(np.isnan(x), {arrays['fill']}, x)" if "fill" in arrays else f"(x - {arrays['offset']}) / {arrays['scale']}"


def _feature_by_feature(script: Script, step: Any, fitted: Any, named: str) -> str:
    return _formula(script, {key: np.array(values) for key, values in fitted.model_dump().items()}, named)


def _missing_indicator(script: Script, step: Any, fitted: Any, named: str) -> str:
    return f"np.concatenate([x.astype(np.{step.dtype}), np.isnan(x)], axis=1).astype(np.float64)"


def _one_hot(script: Script, step: Any, fitted: Any, named: str) -> str:
    return f"one_hot(x, {fitted.categories!a}, refuse_unknown={step.unknown == 'refuse'})"


def _bag_of_words(script: Script, step: Any, fitted: Any, named: str) -> str:
    return f"bag_of_words(x, size={step.size}, lower_case={step.lower_case}, unit_length={step.norm is not None})"


def _log_mel(script: Script, step: Any, fitted: Any, named: str) -> str:
    filters = script.array(f"{named}.filters", step.filters())
    options = f"filters={filters}, floor={step.floor!r}, channels_first={step.channels_first}"
    return f"log_mel(x, window={step.window}, hop={step.hop}, {options})"


STEPS: dict[str, Callable[[Script, Any, Any, str], str]] = {
    "standardize": _feature_by_feature,
    "min_max": _feature_by_feature,
    "image_scale": _feature_by_feature,
    "impute": _feature_by_feature,
    "missing_indicator": _missing_indicator,
    "one_hot": _one_hot,
    "bag_of_words": _bag_of_words,
    "log_mel": _log_mel,
}
"""The expression of every type of fitted step of one column."""
