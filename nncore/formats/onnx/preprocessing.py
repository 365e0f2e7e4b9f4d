"""Fitted preprocessing as ONNX nodes, in front of the network. Steps compute in float64, as they do when predicting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from nncore.formats.onnx.graph import TYPES, Graph, Tensor
from nncore.preprocess import FittedMinMax, FittedStandardize, fitted_steps


def preprocessed(graph: Graph, x: Tensor, steps: Sequence[Mapping[str, Any]]) -> Tensor:
    """What the fitted steps (JSON) make of x."""
    if not steps:
        return x
    name = graph.add("Cast", x.name, to=TYPES["float64"])
    for number, step in enumerate(fitted_steps(steps, prod(x.shape))):
        name = STEPS[step.type](graph, step, name, x.shape, f"preprocessing.{number}")
    return x._replace(name=graph.add("Cast", name, to=TYPES[graph.dtype]))


def standardize(graph: Graph, step: FittedStandardize, x: str, shape: tuple[int, ...], named: str) -> str:
    return _shifted_and_scaled(graph, x, shape, {f"{named}.mean": step.mean, f"{named}.scale": step.scale})


def min_max(graph: Graph, step: FittedMinMax, x: str, shape: tuple[int, ...], named: str) -> str:
    return _shifted_and_scaled(graph, x, shape, {f"{named}.minimum": step.minimum, f"{named}.scale": step.scale})


def _shifted_and_scaled(graph: Graph, x: str, shape: tuple[int, ...], numbers: dict[str, list[float]]) -> str:
    """(x - the first) / the second, feature by feature."""
    shift, scale = (graph.constant(name, np.reshape(np.array(values, np.float64), shape)) for name, values in numbers.items())
    return graph.add("Div", graph.add("Sub", x, shift), scale)


STEPS: dict[str, Callable[[Graph, Any, str, tuple[int, ...], str], str]] = {"standardize": standardize, "min_max": min_max}
"""The rule of every type of fitted step."""
