"""All of an artifact but its parameters, as canonical JSON: it stands in every file, under the one key "sankofa"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from nncore.artifact import Artifact
from nncore.definition import Definition
from nncore.errors import InvalidFile, InvalidSpec
from nncore.network import NetworkSpec
from nncore.preprocess import FittedPreprocess, preprocessing
from nncore.preprocess.target import FittedTarget
from nncore.spec.wording import faults_of

KEY = "sankofa"
FORMAT = "sankofa-network-1"


class Description(Definition):
    """What the numbers of a file mean. Fields as in Artifact."""

    format: Literal["sankofa-network-1"]
    network: NetworkSpec
    loss: str
    input_names: list[str]
    input_shape: list[int]
    item_shapes: list[list[Annotated[int, Field(ge=0, le=2**40)]] | None]
    target: str
    classes: list[str] | None
    preprocessing: list[dict[str, Any]]
    target_preprocessing: FittedTarget | None = None
    dtype: Literal["float32", "float64"]


def describe(artifact: Artifact) -> dict[str, Any]:
    """The description as JSON values. Files of targets as they are do not speak of their preprocessing."""
    network = artifact.network.without_parameters().model_dump(mode="json", exclude_none=True)
    return {
        "format": FORMAT,
        "network": network,
        "loss": artifact.loss,
        "input_names": list(artifact.input_names),
        "input_shape": list(artifact.input_shape),
        "item_shapes": [None if shape is None else list(shape) for shape in artifact.item_shapes],
        "target": artifact.target,
        "classes": None if artifact.classes is None else list(artifact.classes),
        "preprocessing": list(artifact.preprocessing),
        "dtype": artifact.dtype,
        **({} if artifact.target_preprocessing is None else {"target_preprocessing": dict(artifact.target_preprocessing)}),
    }


def canonical(value: Any) -> str:
    """JSON with sorted keys, without white space, in ASCII: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parsed(text: bytes | str) -> Any:
    """The value of JSON text that came from outside. Raises InvalidFile."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, an integer of 5,000 digits; nested too deep
        raise InvalidFile("the JSON in the file cannot be read; the file is damaged, or not a trained network") from None


def parameter_shapes(description: Description) -> dict[str, tuple[int, ...]]:
    """The parameters that belong to the network, in their order. Raises InvalidFile."""
    if any(not 0 < size < 2**40 for size in [*description.input_shape, *_widths(description.network)]):
        raise InvalidFile("the file describes a network of impossible size")
    try:
        return {info.name: info.shape for info in description.network.parameters(description.input_shape)}
    except InvalidSpec as refused:
        raise InvalidFile(f"the file describes a network that does not fit together: {refused}") from None


def checked(described: Any) -> Description:
    """The description, checked. Raises InvalidFile."""
    refusal = "the file's description of the network is not valid:"
    try:
        description = Description.model_validate(described)
    except ValidationError as error:
        fault = faults_of(error, model=Description)[0]
        raise InvalidFile(f"{refusal} {fault.pointer} {fault.message}") from None
    try:
        steps = preprocessing(description.preprocessing, description.input_names, _item_shapes(description))
        if steps.features != prod(description.input_shape):
            raise ValueError(f"its inputs come to {steps.features} numbers in a row, expected {prod(description.input_shape)}")
    except ValidationError as error:
        fault = faults_of(error, "/preprocessing", list[FittedPreprocess])[0]
        raise InvalidFile(f"{refusal} {fault.pointer} {fault.message}") from None
    except ValueError as error:
        raise InvalidFile(f"{refusal} {error}") from None
    return description


def assembled(description: Description, parameters: Mapping[str, np.ndarray]) -> Artifact:
    """The artifact of a file. Raises InvalidFile where the parameters are not those of the network, or not finite numbers."""
    expected = parameter_shapes(description)
    found = {name: values.shape for name, values in parameters.items()}
    for name in [*expected, *found]:
        if expected.get(name) != found.get(name):
            raise InvalidFile(f"parameter {name!r}: expected {_shape(expected.get(name))}, got {_shape(found.get(name))}")
        if parameters[name].dtype != np.dtype(description.dtype):
            raise InvalidFile(f"parameter {name!r}: expected {description.dtype}, got {parameters[name].dtype}")
        if not np.isfinite(parameters[name]).all():
            raise InvalidFile(f"parameter {name!r} holds NaN or infinity")
    scaling, outputs = description.target_preprocessing, prod(description.network.output_shape(description.input_shape))
    if scaling is not None and {len(scaling.offset), len(scaling.scale)} != {outputs}:
        raise InvalidFile(f"the preprocessing of the target is of another number of outputs than the network has, {outputs}")
    return Artifact(
        network=description.network,
        loss=description.loss,
        input_names=tuple(description.input_names),
        input_shape=tuple(description.input_shape),
        target=description.target,
        classes=None if description.classes is None else tuple(description.classes),
        preprocessing=description.preprocessing,
        dtype=description.dtype,
        parameters={name: np.require(parameters[name], requirements="C") for name in expected},
        item_shapes=_item_shapes(description),
        target_preprocessing=None if scaling is None else scaling.model_dump(),
    )


def _item_shapes(description: Description) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(None if shape is None else tuple(shape) for shape in description.item_shapes)


def _widths(network: NetworkSpec) -> list[int]:
    return [layer.units for _, layer in network.every_layer() if hasattr(layer, "units")]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "no such parameter" if shape is None else f"the shape {shape}"
