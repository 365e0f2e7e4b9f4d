"""batch_norm and layer_norm as ONNX operators."""

from __future__ import annotations

import numpy as np

from nncore.formats.onnx.graph import Graph, Tensor
from nncore.layers import BatchNorm, LayerNorm


def batch_norm(graph: Graph, layer: BatchNorm, x: Tensor) -> Tensor:
    """By the running statistics. The operator's epsilon is a float32 for ever: the variance makes up for the difference."""
    channels = x.shape[0]
    weight, bias = f"{x.name}_ones", f"{x.name}_zeros"
    if layer.affine:
        weight, bias = (graph.constant(*graph.parameters.take(name)) for name in ("weight", "bias"))
    else:
        graph.constant(weight, np.ones(channels, graph.dtype))
        graph.constant(bias, np.zeros(channels, graph.dtype))
    mean = graph.constant(*graph.parameters.take("running_mean"))
    name, variance = graph.parameters.take("running_var")
    lost = layer.epsilon - float(np.float32(layer.epsilon))
    variance = (variance.astype(np.float64) + lost).astype(graph.dtype)
    inputs = (x.name, weight, bias, mean, graph.constant(name, variance))
    return Tensor(graph.add("BatchNormalization", *inputs, epsilon=layer.epsilon), x.shape)


def layer_norm(graph: Graph, layer: LayerNorm, x: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon): put together, because the operator computes its statistics in float32 for ever."""
    axes = list(range(1 + len(x.shape) - layer.axes, 1 + len(x.shape)))
    aside = graph.add("Sub", x.name, graph.add("ReduceMean", x.name, axes=axes))
    variance = graph.add("ReduceMean", graph.add("Mul", aside, aside), axes=axes)
    y = graph.add("Div", aside, graph.add("Sqrt", graph.add("Add", variance, graph.number(layer.epsilon))))
    if layer.affine:
        y = graph.add("Mul", y, graph.constant(*graph.parameters.take("weight")))
        y = graph.add("Add", y, graph.constant(*graph.parameters.take("bias")))
    return x._replace(name=y)
