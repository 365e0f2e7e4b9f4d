"""Each layer as ONNX nodes. `RULES` names the rule of every type of layer; a test fails for one that has none.

A rule is given the graph, the layer and what comes in, appends nodes and constants, and answers what comes out. It takes the layer's
parameters in the order in which its `lower` asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nncore.formats.onnx.activations import activated
from nncore.formats.onnx.graph import Graph, Tensor
from nncore.formats.onnx.norms import batch_norm, layer_norm
from nncore.formats.onnx.recurrence import gru, lstm, rnn
from nncore.formats.onnx.sequences import embedding, mean_over_sequence
from nncore.formats.onnx.windows import average_pool, convolution, global_pool, max_pool
from nncore.layers import Activation, Dense, Dropout, Flatten, Parallel, Reshape, Residual
from nncore.layers.layer import Layer

Rule = Callable[[Graph, Any, Tensor], Tensor]


def through(graph: Graph, layers: Sequence[Layer], x: Tensor) -> Tensor:
    """One layer after the other."""
    for layer in layers:
        x = RULES[layer.type](graph, layer, x)  # type: ignore[attr-defined]
    return x


def dense(graph: Graph, layer: Dense, x: Tensor) -> Tensor:
    inputs = [x.name, graph.constant(*graph.parameters.take("weight"))]
    if layer.use_bias:
        inputs.append(graph.constant(*graph.parameters.take("bias")))
    return activated(graph, Tensor(graph.add("Gemm", *inputs, transB=1), (layer.units,)), layer.activation)


def activation(graph: Graph, layer: Activation, x: Tensor) -> Tensor:
    return activated(graph, x, layer.activation)


def dropout(graph: Graph, layer: Dropout, x: Tensor) -> Tensor:
    return x  # it does something only while training


def flatten(graph: Graph, layer: Flatten, x: Tensor) -> Tensor:
    return Tensor(graph.add("Flatten", x.name, axis=1), layer.output_shape(x.shape))


def reshape(graph: Graph, layer: Reshape, x: Tensor) -> Tensor:
    return graph.reshaped(x, layer.output_shape(x.shape))


def residual(graph: Graph, layer: Residual, x: Tensor) -> Tensor:
    return x._replace(name=graph.add("Add", x.name, through(graph, layer.layers, x).name))


def parallel(graph: Graph, layer: Parallel, x: Tensor) -> Tensor:
    shape = layer.output_shape(x.shape)
    names = [through(graph, branch, x).name for branch in layer.branches]
    if layer.merge == "add":
        return Tensor(graph.add("Sum", *names), shape)
    return Tensor(graph.add("Concat", *names, axis=layer.axis % len(shape) + 1), shape)


RULES: dict[str, Rule] = {
    "dense": dense,
    "activation": activation,
    "dropout": dropout,
    "flatten": flatten,
    "reshape": reshape,
    "residual": residual,
    "parallel": parallel,
    "conv1d": convolution,
    "conv2d": convolution,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_pool": global_pool,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "embedding": embedding,
    "mean_over_sequence": mean_over_sequence,
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
}
