"""Fitted preprocessing as ONNX nodes, in front of the network. Steps compute in float64, as they do when predicting."""

from __future__ import annotations

from nncore.artifact import Artifact
from nncore.formats.onnx.graph import TYPES, Graph, Tensor
from nncore.formats.scalings import scalings


def preprocessed(graph: Graph, x: Tensor, artifact: Artifact) -> Tensor:
    """What the fitted steps make of x. Raises InvalidSpec where one of them cannot be exported."""
    steps = scalings(artifact, "ONNX")
    if not steps:
        return x
    name = graph.add("Cast", x.name, to=TYPES["float64"])
    for number, step in enumerate(steps):
        numbers = step._asdict().items()
        offset, scale = (graph.constant(f"preprocessing.{number}.{key}", values.reshape(x.shape)) for key, values in numbers)
        name = graph.add("Div", graph.add("Sub", name, offset), scale)
    return x._replace(name=graph.add("Cast", name, to=TYPES[graph.dtype]))
