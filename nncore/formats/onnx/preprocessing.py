"""Fitted preprocessing as ONNX nodes, in front of the network. Steps compute in float64, as they do when predicting.

Where no step makes new features, the columns lie side by side in the one input "inputs". Where one does, each column is an input of its
own, "inputs.NAME": (batch, *its items) in the dtype of the network, or (batch,) strings. A number that is missing is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidSpec
from nncore.formats.onnx.graph import TYPES, Graph, Tensor
from nncore.formats.side_by_side import side_by_side, steps_of
from nncore.machine.kernels import Array


def preprocessed(graph: Graph, artifact: Artifact) -> tuple[list[Tensor], Tensor]:
    """The inputs of the graph, and what the fitted steps make of them. Raises InvalidSpec where one of them cannot be exported."""
    steps = side_by_side(artifact)
    if steps is not None:
        inputs = Tensor("inputs", artifact.input_shape)
        return [inputs], _together(graph, inputs, steps)
    columns = []
    for name, shape in zip(artifact.input_names, artifact.item_shapes, strict=True):
        columns.append(Tensor(f"inputs.{name}", shape or (), dtype="text" if shape is None else ""))
    parts = [_column(graph, x, name, steps_of(artifact)) for x, name in zip(columns, artifact.input_names, strict=True)]
    together = graph.add("Concat", *parts, axis=1)
    numbers = Tensor(graph.add("Cast", together, to=TYPES[graph.dtype]), (prod(artifact.input_shape),))
    return columns, numbers if len(artifact.input_shape) == 1 else graph.reshaped(numbers, artifact.input_shape)


def _together(graph: Graph, x: Tensor, steps: list[dict[str, Array]]) -> Tensor:
    """All columns at once."""
    if not steps:
        return x
    name = graph.add("Cast", x.name, to=TYPES["float64"])
    for number, numbers in enumerate(steps):
        name = _formula(graph, name, {key: values.reshape(x.shape) for key, values in numbers.items()}, f"preprocessing.{number}")
    return x._replace(name=graph.add("Cast", name, to=TYPES[graph.dtype]))


def _column(graph: Graph, column: Tensor, name: str, steps: list[Any]) -> str:
    """One column, as (batch, features) float64."""
    x = column.name
    if column.dtype != "text":
        x = graph.add("Cast", graph.reshaped(column, (prod(column.shape),)).name, to=TYPES["float64"])
    for number, step in enumerate(steps):
        if name in step.columns:
            if step.type not in STEPS:
                message = f"ONNX has no operator for {step.type}; take the format python, or safetensors, npz, json, which hold its options"
                raise InvalidSpec(Fault("/preprocess", "not_exported", message, "steps that ONNX can express", step.type))
            x = STEPS[step.type](graph, x, step, step.columns[name], f"preprocessing.{number}.{name}")
    return x


def _formula(graph: Graph, x: str, numbers: Mapping[str, Array], named: str) -> str:
    """(x - offset) / scale, or fill where x is missing."""
    constants = {key: graph.constant(f"{named}.{key}", values) for key, values in numbers.items()}
    if "fill" in constants:
        return graph.add("Where", graph.add("IsNaN", x), constants["fill"], x)
    return graph.add("Div", graph.add("Sub", x, constants["offset"]), constants["scale"])


def _feature_by_feature(graph: Graph, x: str, step: Any, fitted: Any, named: str) -> str:
    return _formula(graph, x, {key: np.array(values) for key, values in fitted.model_dump().items()}, named)


def _missing_indicator(graph: Graph, x: str, step: Any, fitted: Any, named: str) -> str:
    number = x if step.dtype == "float64" else graph.add("Cast", graph.add("Cast", x, to=TYPES[step.dtype]), to=TYPES["float64"])
    return graph.add("Concat", number, graph.add("Cast", graph.add("IsNaN", x), to=TYPES["float64"]), axis=1)


def _one_hot(graph: Graph, x: str, step: Any, fitted: Any, named: str) -> str:
    """1 where x is the category. What is unknown is 0 everywhere: a graph cannot refuse a row."""
    categories = fitted.categories
    if any(isinstance(each, str) for each in categories):
        known = {str(each): place for place, each in enumerate(categories) if each is not None}
        options: dict[str, Any] = {"keys_strings": list(known), "values_int64s": list(known.values()), "default_int64": -1}
        code = graph.add("LabelEncoder", x, domain="ai.onnx.ml", **options)
        x, places = graph.add("Unsqueeze", code, graph.whole_numbers(1)), np.arange(len(categories))
    else:
        places = np.array([np.nan if each is None else each for each in categories], dtype=np.float64)  # nothing equals NaN
    return graph.add("Cast", graph.add("Equal", x, graph.constant(f"{named}.categories", places)), to=TYPES["float64"])


def _log_mel(graph: Graph, x: str, step: Any, fitted: Any, named: str) -> str:
    """Frames of x, (batch, samples), times sines and cosines: their power, summed into bands."""
    size, frames = step.window, 1 + (fitted.samples - step.window) // step.hop
    at = (np.arange(frames)[:, None] * step.hop + np.arange(size)).ravel()
    cut = graph.reshaped(Tensor(graph.add("Gather", x, graph.constant(f"{named}.frames", at), axis=1), ()), (frames, size)).name
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))[:, None]
    turns = 2 * np.pi * (np.outer(np.arange(size), np.arange(size // 2 + 1)) % size) / size
    waves = {"cosines": np.cos(turns) * window, "sines": np.sin(turns) * window}
    parts = [graph.add("MatMul", cut, graph.constant(f"{named}.{which}", values)) for which, values in waves.items()]
    power = graph.add("Add", *(graph.add("Mul", part, part) for part in parts))
    energy = graph.add("MatMul", power, graph.constant(f"{named}.filters", step.filters()))
    floor = graph.constant(f"{named}.floor", np.array(step.floor))
    logarithms = graph.add("Cast", graph.add("Log", graph.add("Max", energy, floor)), to=TYPES["float32"])
    if step.channels_first:
        logarithms = graph.add("Transpose", logarithms, perm=[0, 2, 1])
    return graph.add("Cast", graph.add("Flatten", logarithms, axis=1), to=TYPES["float64"])


STEPS: dict[str, Callable[[Graph, str, Any, Any, str], str]] = {
    "standardize": _feature_by_feature,
    "min_max": _feature_by_feature,
    "image_scale": _feature_by_feature,
    "impute": _feature_by_feature,
    "missing_indicator": _missing_indicator,
    "one_hot": _one_hot,
    "log_mel": _log_mel,
}
"""What every type of fitted step makes of one column. bag_of_words hashes words, which no operator does."""
