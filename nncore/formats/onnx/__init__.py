"""ONNX: the network as a graph that runtimes in every language run (opset 15). Written without the onnx package; never read.

    inputs          (batch, *input_shape), raw: the fitted preprocessing is part of the graph. Of several columns, side by side
    inputs.NAME     an input for each column, instead, where a step makes new features of one (one_hot, log_mel)
    outputs         (batch, numbers), of a network that was trained to predict numbers, in the unit of the target
    logits          (batch, outputs), instead of outputs, of one that was trained under a cross-entropy
    probabilities   (batch, classes), and this: softmax, or sigmoid; (batch,) for a single yes or no

All are float32, or float64 where the network was trained so: the operators are standard, but onnxruntime's CPU has some of them in float32
only (convolution, average_pool, the recurrences, elu, selu, softplus, gelu). A float32 input has 7 digits, before any preprocessing: a
network that needs more of them wants "dtype": "float64". The metadata "sankofa" is the description of all files, as JSON: names of the
inputs and classes are there.

protobuf.py   messages as bytes
graph.py      nodes, constants, the file
layers.py     a rule for each layer, with activations.py, windows.py, norms.py, sequences.py and recurrence.py
preprocessing.py   the fitted steps
"""

from __future__ import annotations

from math import prod

import numpy as np

from nncore.artifact import Artifact
from nncore.formats.description import canonical, describe
from nncore.formats.onnx.graph import OPSETS, TYPES, Graph, Tensor
from nncore.formats.onnx.layers import RULES, through
from nncore.formats.onnx.preprocessing import preprocessed
from nncore.formats.parameters import Parameters
from nncore.preprocess.target import FittedTarget, fitted_target

PROBABILITIES = {"softmax_cross_entropy": "Softmax", "negative_log_likelihood": "Softmax", "binary_cross_entropy": "Sigmoid"}
"""What turns the outputs of a network into probabilities, by the loss it was trained with (softmax of logarithms is what they are of)."""


def write(artifact: Artifact) -> bytes:
    """The file."""
    graph = Graph(artifact.dtype, Parameters(artifact))
    inputs, x = preprocessed(graph, artifact)
    x = through(graph, artifact.network.layers, x)
    graph.parameters.finish()
    return graph.model(inputs, _named(graph, x, artifact), canonical(describe(artifact)))


def _named(graph: Graph, x: Tensor, artifact: Artifact) -> list[Tensor]:
    """The outputs, each a vector, under the names by which they are asked for."""
    numbers, loss = prod(x.shape), artifact.loss
    operator = "Identity" if len(x.shape) == 1 else "Flatten"
    scaling = fitted_target(artifact.target_preprocessing)
    if scaling is not None:
        x = _undone(graph, x if len(x.shape) == 1 else graph.reshaped(x, (numbers,)), scaling)
        operator = "Identity"
    if loss not in PROBABILITIES:
        return [Tensor(graph.add(operator, x.name, outputs=["outputs"]), (numbers,))]
    logits = Tensor(graph.add(operator, x.name, outputs=["logits"]), (numbers,))
    if loss == "binary_cross_entropy" and numbers == 1:
        single = graph.add("Squeeze", graph.add("Sigmoid", logits.name), graph.whole_numbers(1), outputs=["probabilities"])
        return [logits, Tensor(single, ())]
    return [logits, Tensor(graph.add(PROBABILITIES[loss], logits.name, outputs=["probabilities"]), (numbers,))]


def _undone(graph: Graph, x: Tensor, scaling: FittedTarget) -> Tensor:
    """The numbers in the unit of the target."""
    scale, offset = (graph.constant(f"target.{key}", np.array(getattr(scaling, key), dtype=np.float64)) for key in ("scale", "offset"))
    scaled = graph.add("Mul", graph.add("Cast", x.name, to=TYPES["float64"]), scale)
    return x._replace(name=graph.add("Cast", graph.add("Add", scaled, offset), to=TYPES[graph.dtype]))


__all__ = ["OPSETS", "PROBABILITIES", "RULES", "write"]
