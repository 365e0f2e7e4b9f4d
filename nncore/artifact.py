"""What training leaves behind: a network with its parameters, and everything a prediction needs. Formats write it, predictors use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nncore.errors import Fault, InvalidSpec
from nncore.network import NetworkSpec

if TYPE_CHECKING:
    from nncore.spec import ResolvedSpec

DtypeName = Literal["float32", "float64"]


@dataclass(frozen=True, eq=False)
class Artifact:
    """A trained network. Its files are canonical, so it knows no job, no time and no machine.

    network: without given parameters (they are in `parameters`). loss: the type of the loss it was trained with, which decides what
    the outputs mean. input_names: the columns that are preprocessed and laid side by side into items of `input_shape`. classes: names of
    the labels, or None. preprocessing: the fitted steps, as JSON. parameters: by name, in the order of the parameter vector, each
    C-contiguous. item_shapes: of each input as it comes, None for text. Where they are left out, one input is of `input_shape`, and
    several are single numbers. target_preprocessing: how a target of numbers was scaled, as JSON; outputs are told undone.
    Raises InvalidSpec when the parameters are not those of the network.
    """

    network: NetworkSpec
    loss: str
    input_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    target: str
    classes: tuple[str, ...] | None
    preprocessing: Sequence[Any]
    dtype: DtypeName
    parameters: Mapping[str, np.ndarray] = field(repr=False)
    item_shapes: tuple[tuple[int, ...] | None, ...] = ()
    target_preprocessing: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.item_shapes:
            several = len(self.input_names) > 1
            object.__setattr__(self, "item_shapes", tuple(() if several else self.input_shape for _ in self.input_names))
        expected = {info.name: info.shape for info in self.network.parameters(self.input_shape)}
        found = {name: values.shape for name, values in self.parameters.items()}
        if expected != found:
            raise InvalidSpec(
                Fault(
                    "/parameters",
                    "parameters_mismatch",
                    f"the parameters are not those of the network: expected {expected}, got {found}",
                    expected=str(expected),
                    got=str(found),
                )
            )
        wrong = {name: values.dtype.name for name, values in self.parameters.items() if values.dtype != np.dtype(self.dtype)}
        if wrong:
            raise InvalidSpec(
                Fault("/parameters", "dtype_mismatch", f"parameters of {self.dtype} are expected, got {wrong}", self.dtype, str(wrong))
            )


def artifact_of(
    spec: ResolvedSpec, preprocessing: Sequence[Any], vector: np.ndarray, target_preprocessing: Mapping[str, Any] | None = None
) -> Artifact:
    """The artefact of a job with this parameter vector; the vector is copied."""
    parameters, at = {}, 0
    for info in spec.network.parameters(spec.input_shape):
        size = prod(info.shape)
        parameters[info.name] = vector[at : at + size].reshape(info.shape).copy()
        at += size
    return Artifact(
        network=spec.network.without_parameters(),
        loss=spec.loss.type,
        input_names=tuple(spec.inputs),
        input_shape=tuple(spec.input_shape),
        target=spec.target,
        classes=None if spec.classes is None else tuple(spec.classes),
        preprocessing=preprocessing,
        dtype=spec.dtype,
        parameters=parameters,
        item_shapes=tuple(None if shape is None else tuple(shape) for shape in spec.item_shapes),
        target_preprocessing=target_preprocessing,
    )
