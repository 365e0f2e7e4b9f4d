"""An input that a unit answers as strongly as it can: what the unit looks for, drawn by gradient ascent on the input.

From a start x goes up the slope of a(x) - decay / 2 |x|^2, a the activation of the unit, and is kept within bounds. Without decay or
bounds a unit that is linear somewhere grows for ever. There may be several maxima: another seed may find another.

Sources: Erhan, Bengio, Courville, Vincent, "Visualizing Higher-Layer Features of a Deep Network" (2009); Simonyan, Vedaldi, Zisserman,
arXiv 1312.6034 (2013), 2 (the decay).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidData
from nncore.explain.input_gradients import Slopes, checked_inputs
from nncore.network import NetworkSpec


@dataclass(frozen=True, eq=False)
class MaximalInput:
    """The best input that was met. inputs: (*input_shape,), as the network takes them, preprocessed. activation: of the unit there.

    path: (steps + 1,), the activation at the start and after each step.
    """

    inputs: np.ndarray
    activation: float
    path: np.ndarray


def maximal_input(
    artifact: Artifact,
    layer: int,
    unit: int | Sequence[int],
    *,
    steps: int = 200,
    rate: float = 0.1,
    decay: float = 0.0,
    bounds: tuple[float, float] | None = None,
    start: np.ndarray | None = None,
    seed: int = 0,
) -> MaximalInput:
    """The input that a unit of a layer answers most strongly.

    layer: its number, from 0. unit: its place in what the layer gives; of several axes, one number for each. start: (*input_shape,);
    without, normal numbers of deviation 0.1, drawn with `seed`. Raises InvalidData for a unit that is not there.
    """
    layers = artifact.network.layers
    if not 0 <= layer < len(layers):
        message = f"expected a layer from 0 to {len(layers) - 1}, got {layer}"
        raise InvalidData(Fault("/layer", "no_such_layer", message, f"0 to {len(layers) - 1}", str(layer)))
    network = NetworkSpec(layers=layers[: layer + 1])
    weights = _one_at(unit, network.output_shape(artifact.input_shape))
    slopes = Slopes(network, artifact.input_shape, artifact.parameters, artifact.dtype, rows=1)
    drawn = np.random.default_rng(seed).normal(scale=0.1, size=artifact.input_shape) if start is None else start
    x = checked_inputs(artifact, np.asarray(drawn)[None]).astype(np.float64)
    x = x if bounds is None else x.clip(*bounds)
    best, best_worth, activation, path = x, -np.inf, 0.0, np.empty(steps + 1)
    for step in range(steps + 1):
        sums, along = slopes.along(x, weights)
        path[step] = sums[0]
        worth = sums[0] - decay / 2 * (x**2).sum()
        if worth > best_worth:
            best, best_worth, activation = x, worth, float(sums[0])
        x = x + rate * (along - decay * x)
        x = x if bounds is None else x.clip(*bounds)
    return MaximalInput(best[0].astype(artifact.dtype), activation, path)


def _one_at(unit: int | Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """(1, units): 1 at the unit, else 0."""
    places = (unit,) if isinstance(unit, int) else tuple(unit)
    if len(places) != len(shape) or not all(0 <= place < size for place, size in zip(places, shape, strict=True)):
        message = f"expected a unit below {shape}, a number for each axis, got {places}"
        raise InvalidData(Fault("/unit", "no_such_unit", message, str(shape), str(places)))
    weights = np.zeros(shape)
    weights[places] = 1
    return weights.reshape(1, prod(shape))
