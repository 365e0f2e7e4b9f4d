"""A network from elsewhere becomes an artifact: tensors by their names in a safetensors or npz file, and a definition of what they mean.

A file that was written here says itself what it is. For another one the definition tells the network, of which the names and shapes of the
tensors follow, and as much as is known of its inputs and outputs. Whatever the bytes are, what cannot be used is refused with InvalidFile
or InvalidSpec; nothing is allocated that the file does not really hold.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field, ValidationError

from nncore.artifact import Artifact
from nncore.definition import Definition
from nncore.errors import Fault, InvalidFile, InvalidSpec
from nncore.faults import short
from nncore.formats import npz, pytorch, safetensors
from nncore.formats.description import FORMAT, KEY, assembled, checked, parameter_shapes, parsed
from nncore.losses import LossSpec
from nncore.machine.program import Program
from nncore.network import NetworkSpec
from nncore.preprocess import preprocessing
from nncore.preprocess.step import ColumnName
from nncore.preprocess.target import FittedTarget
from nncore.spec.limits import Limits

MOST_HEADER_BYTES = 8 << 20
MOST_INPUTS = 20_000
MOST_CLASSES = 1_000_000
LOSSES = tuple(get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(LossSpec)[0]))
OF_CLASSES = ("softmax_cross_entropy", "negative_log_likelihood")
Size = Annotated[int, Field(ge=1, le=2**40)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class InputDefinition(Definition):
    """A column that goes in."""

    name: ColumnName
    item_shape: Annotated[
        list[Size] | None, Field(max_length=8, description="Of its numbers in a row; [] is one number, null is text. Default: as it fits.")
    ] = None


class NetworkDefinition(Definition):
    """What the tensors of a file mean."""

    network: NetworkSpec
    inputs: Annotated[
        list[InputDefinition] | None, Field(min_length=1, max_length=MOST_INPUTS, description='Default: one column, "x".')
    ] = None
    input_shape: Annotated[
        list[Size] | None,
        Field(min_length=1, max_length=8, description="Of one item, as the first layer takes it. Default: that of the inputs."),
    ] = None
    target: Annotated[ColumnName, Field(description="What the answers are called.")] = "y"
    loss: Annotated[
        LossSpec | None,
        Field(description="That it was trained with, which says how outputs are read. Default: with classes a cross-entropy, else "
              "mean_squared_error: outputs are numbers."),
    ] = None  # fmt: skip
    classes: Annotated[
        list[Text] | None, Field(min_length=2, max_length=MOST_CLASSES, description="What the labels 0, 1, ... are called.")
    ] = None
    preprocessing: Annotated[
        list[dict[str, Any]],
        Field(max_length=8, description="Fitted steps, as the description in a file of ours has them, applied to the inputs in order."),
    ] = Field(default_factory=list)
    target_preprocessing: FittedTarget | None = None


def most_bytes(definition: NetworkDefinition | None, limits: Limits) -> int:
    """How large a file can be that holds the network; without a definition, any network. Raises InvalidSpec for one that is too large."""
    parameters = limits.max_parameters
    if definition is not None:
        _check_layers(definition.network, limits)
        if definition.input_shape is not None:
            parameters = _count(parameter_shapes_of(definition.network, definition.input_shape).values())
            _check_parameters(parameters, limits)
    return parameters * 8 + MOST_HEADER_BYTES


def read(data: bytes, definition: NetworkDefinition | None, limits: Limits) -> Artifact:
    """The network in a file. Raises InvalidFile with everything that is wrong with its tensors, InvalidSpec for a definition."""
    try:
        tensors, own = _tensors(data)
        if definition is None:
            if own is None:
                raise InvalidFile("the file does not say what network its tensors are of; send a definition with it")
            return _usable(_of_our_own(tensors, own, limits), limits)
        return _usable(_defined(tensors, definition, limits), limits)
    except RecursionError:
        raise InvalidFile("the network in the file is nested too deeply") from None


def parameter_shapes_of(network: NetworkSpec, input_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The parameters of a network, in their order. Raises InvalidSpec."""
    return {info.name: info.shape for info in network.parameters(input_shape)}


def _tensors(data: bytes) -> tuple[dict[str, np.ndarray], bytes | str | None]:
    """The tensors of a file, and the description in it, where it has one."""
    if data[:2] == b"PK":
        arrays = npz.arrays_of(data)
        described = arrays.pop(KEY, None)
        if described is not None and (described.dtype != np.uint8 or described.size > MOST_HEADER_BYTES):
            raise InvalidFile(f'the entry "{KEY}" of the npz file is no description of a network')
        return arrays, None if described is None else described.tobytes()
    if int.from_bytes(data[:8], "little") > MOST_HEADER_BYTES:
        raise InvalidFile(f"not a safetensors or npz file: its header would be of more than {MOST_HEADER_BYTES:,} bytes")
    tensors, metadata = safetensors.tensors_of(data)
    described = metadata.get(KEY)
    return tensors, described if isinstance(described, str) else None


def _of_our_own(tensors: Mapping[str, np.ndarray], own: bytes | str, limits: Limits) -> Artifact:
    description = checked(parsed(own))
    _check_layers(description.network, limits)
    shapes = parameter_shapes(description)
    _check_parameters(_count(shapes.values()), limits)
    return assembled(description.model_copy(update={"network": description.network.without_parameters()}), tensors)


def _defined(tensors: Mapping[str, np.ndarray], definition: NetworkDefinition, limits: Limits) -> Artifact:
    """The network of a definition with these tensors: float64 where one of them is, else float32."""
    network = definition.network.without_parameters()
    inputs = definition.inputs or [InputDefinition(name="x")]
    _check_names("/inputs", [each.name for each in inputs])
    shapes = [_item_shape(each, definition, alone=len(inputs) == 1) for each in inputs]
    input_shape = definition.input_shape or _input_shape(definition, inputs, shapes, tensors)
    if len(inputs) == 1 and "item_shape" not in inputs[0].model_fields_set and not definition.preprocessing:
        shapes = [list(input_shape)]
    expected = parameter_shapes_of(network, input_shape)
    _check_parameters(_count(expected.values()), limits)
    found = pytorch.checked_tensors(expected, tensors)
    dtype = "float64" if any(values.dtype == np.float64 for values in found.values()) else "float32"
    outputs = prod(network.output_shape(input_shape))
    described = {
        "format": FORMAT,
        "network": network.model_dump(mode="json", exclude_none=True),
        "loss": _loss(definition, outputs),
        "input_names": [each.name for each in inputs],
        "input_shape": list(input_shape),
        "item_shapes": shapes,
        "target": definition.target,
        "classes": definition.classes,
        "preprocessing": definition.preprocessing,
        "target_preprocessing": None if definition.target_preprocessing is None else definition.target_preprocessing.model_dump(),
        "dtype": dtype,
    }
    with np.errstate(over="ignore"):
        return assembled(checked(described), {name: np.require(found[name], dtype, "C") for name in expected})


def _item_shape(each: InputDefinition, definition: NetworkDefinition, *, alone: bool) -> list[int] | None:
    if "item_shape" in each.model_fields_set:
        return each.item_shape
    return list(definition.input_shape) if alone and definition.input_shape and not definition.preprocessing else []


def _input_shape(
    definition: NetworkDefinition, inputs: Sequence[InputDefinition], shapes: Sequence[list[int] | None], tensors: Mapping[str, np.ndarray]
) -> list[int]:
    """What the first layer takes, where the definition does not say so."""
    if definition.preprocessing:
        try:
            steps = preprocessing(
                definition.preprocessing, [each.name for each in inputs], [None if s is None else tuple(s) for s in shapes]
            )
        except (ValidationError, ValueError) as error:
            raise InvalidSpec(Fault("/preprocessing", "wrong_preprocessing", f"preprocessing: {_first_line(error)}")) from None
        return [steps.features]
    if len(inputs) > 1:
        return [sum(prod(shape or []) for shape in shapes)]
    if "item_shape" in inputs[0].model_fields_set:
        return list(shapes[0] or [1])
    first = next((layer for layer in definition.network.layers if layer.type != "dropout"), None)
    if first is not None and first.type == "dense":
        expected = parameter_shapes_of(definition.network.without_parameters(), [1])
        weight = pytorch.named_as(expected, tensors).get(next(iter(expected)))
        if weight is not None and weight.ndim == 2 and weight.shape[1] > 0:
            return [int(weight.shape[1])]
    message = "expected input_shape, or inputs with their item_shape: what the first layer takes cannot be seen from the tensors"
    raise InvalidSpec(Fault("/input_shape", "missing", message, "a shape", "none"))


def _loss(definition: NetworkDefinition, outputs: int) -> str:
    if definition.loss is not None:
        return str(definition.loss.type)
    if definition.classes is None:
        return "mean_squared_error"
    return "binary_cross_entropy" if outputs == 1 else "softmax_cross_entropy"


def _usable(artifact: Artifact, limits: Limits) -> Artifact:
    """The same. Raises InvalidFile or InvalidSpec where no prediction could be made with it, or not be told."""
    outputs = prod(artifact.network.output_shape(artifact.input_shape))
    if artifact.loss not in LOSSES:
        raise InvalidFile(f"the loss {short(artifact.loss)} is not known; expected one of {', '.join(LOSSES)}")
    if not artifact.input_names:
        raise InvalidFile("the network has no input")
    if artifact.classes is not None:
        wanted = outputs if artifact.loss in OF_CLASSES else 2
        if artifact.loss not in (*OF_CLASSES, "binary_cross_entropy"):
            message = f"classes go with a cross-entropy, and the loss is {artifact.loss}; leave one of them out"
            raise InvalidSpec(Fault("/classes", "classes_of_numbers", message))
        if len(artifact.classes) != wanted:
            message = f"expected {wanted:,} classes, as the network tells apart, got {len(artifact.classes):,}"
            raise InvalidSpec(Fault("/classes", "wrong_classes", message, f"{wanted:,}", f"{len(artifact.classes):,}"))
    for at, names in (("/inputs", artifact.input_names), ("/target", (artifact.target,)), ("/classes", artifact.classes or ())):
        _check_names(at, names)
    needed = Program(artifact.network, artifact.input_shape).memory_bytes(artifact.dtype)
    if needed > limits.max_memory_bytes:
        most = f"{limits.max_memory_bytes:,} bytes"
        raise InvalidSpec(
            Fault("/network", "too_much_memory", f"the network takes {needed:,} bytes, more than {most}", most, f"{needed:,}")
        )
    return artifact


def _check_names(at: str, names: Iterable[str]) -> None:
    seen = set[str]()
    for name in names:
        if not name.strip() or len(name) > 1000 or any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            raise InvalidSpec(
                Fault(at, "unprintable_name", f"{at[1:]}: expected printable names of at most 1,000 characters, got {name[:60]!a}")
            )
        if name in seen:
            raise InvalidSpec(Fault(at, "duplicate_name", f"{at[1:]}: {short(name)} stands twice", "different names", short(name)))
        seen.add(name)


def _check_layers(network: NetworkSpec, limits: Limits) -> None:
    count = sum(1 for _ in network.every_layer())
    if count > limits.max_layers:
        most = f"at most {limits.max_layers:,} layers"
        raise InvalidSpec(Fault("/network/layers", "too_many_layers", f"expected {most}, got {count:,}", most, f"{count:,}"))


def _check_parameters(count: int, limits: Limits) -> None:
    if count > limits.max_parameters:
        most = f"at most {limits.max_parameters:,} parameters"
        message = f"the network is too large: expected {most}, got {count:,}"
        raise InvalidSpec(Fault("/network", "too_many_parameters", message, most, f"{count:,}"))


def _count(shapes: Iterable[Sequence[int]]) -> int:
    return sum(prod(shape) for shape in shapes)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


FileFormat = Literal["safetensors", "npz"]


def format_of(data: bytes) -> FileFormat:
    """Which of the two a file is, by how it begins."""
    return "npz" if data[:2] == b"PK" else "safetensors"
