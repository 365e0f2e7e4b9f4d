"""What goes into a trained network and what comes out: told of versions of models, and of model cards."""

from __future__ import annotations

from math import prod
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nncore.artifact import Artifact
from nncore.formats.description import Description
from nncore.machine.program import Program


class Input(BaseModel):
    """A column that goes in."""

    model_config = ConfigDict(extra="forbid", title="SignatureInput")

    name: str
    item_shape: list[int] | None = Field(description="Of its numbers in a row; [] is one number, null is text.")


class Signature(BaseModel):
    """What goes in and what comes out."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[Input]
    target: str = Field(description="The column that was learned.")
    outputs: int = Field(description="Numbers that the last layer gives for a row.")
    loss: str = Field(description="What it was trained with, which says how the outputs are read.")
    classes: list[str] | None = Field(description="What the labels are called; null where it answers with numbers.")
    parameters: int
    dtype: str


def of_network(described: Artifact | Description) -> dict[str, Any]:
    """Of a network by what its file says."""
    return {
        "inputs": [
            {"name": name, "item_shape": None if shape is None else list(shape)}
            for name, shape in zip(described.input_names, described.item_shapes, strict=True)
        ],
        "target": described.target,
        "outputs": prod(described.network.output_shape(described.input_shape)),
        "loss": described.loss,
        "classes": None if described.classes is None else list(described.classes),
        "parameters": Program(described.network, described.input_shape).parameter_count,
        "dtype": described.dtype,
    }


def of_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """Of the network that a job with this resolved spec trains."""
    return {
        "inputs": [{"name": name, "item_shape": shape} for name, shape in zip(spec["inputs"], spec["item_shapes"], strict=True)],
        "target": spec["target"],
        "outputs": prod(spec["output_shape"]),
        "loss": spec["loss"]["type"],
        "classes": spec["classes"],
        "parameters": spec["sizes"]["parameters"],
        "dtype": spec["dtype"],
    }
