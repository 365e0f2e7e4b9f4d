"""Convolutions and pools as ONNX operators. Pads are written out, in ONNX's order: before every axis, then after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore.formats.onnx.activations import activated
from nncore.formats.onnx.graph import Graph, Tensor
from nncore.layers import AveragePool, GlobalPool, MaxPool
from nncore.layers.convolution import Convolution
from nncore.layers.windows import Axis


def convolution(graph: Graph, layer: Convolution, x: Tensor) -> Tensor:
    inputs = [x.name, graph.constant(*graph.parameters.take("weight"))]
    if layer.use_bias:
        inputs.append(graph.constant(*graph.parameters.take("bias")))
    name = graph.add("Conv", *inputs, group=layer.groups, **_geometry(layer._axes(x.shape)))
    return activated(graph, Tensor(name, layer.output_shape(x.shape)), layer.activation)


def max_pool(graph: Graph, layer: MaxPool, x: Tensor) -> Tensor:
    axes, name = layer._axes(x.shape), x.name
    if any(max(axis.before, axis.after) >= axis.kernel for axis in axes):  # wide gaps allow it here; onnxruntime refuses such pads
        pads = graph.whole_numbers(0, 0, *(axis.before for axis in axes), 0, 0, *(axis.after for axis in axes))
        name = graph.add("Pad", name, pads, graph.number(float("-inf")))
        axes = [axis._replace(length=axis.padded, before=0, after=0) for axis in axes]
    return Tensor(graph.add("MaxPool", name, **_geometry(axes)), layer.output_shape(x.shape))


def average_pool(graph: Graph, layer: AveragePool, x: Tensor) -> Tensor:
    axes, shape = layer._axes(x.shape), layer.output_shape(x.shape)
    if all(axis.dilation == 1 for axis in axes):
        geometry = _geometry(axes)
        del geometry["dilations"]
        return Tensor(graph.add("AveragePool", x.name, count_include_pad=int(layer.count_include_pad), **geometry), shape)
    # The operator has no gaps in this opset: numbers are summed by a convolution with ones, each channel by itself.
    channels = x.shape[0]
    ones = np.ones((channels, 1, *(axis.kernel for axis in axes)), graph.dtype)
    summed = graph.add("Conv", x.name, graph.constant(f"{x.name}_ones", ones), group=channels, **_geometry(axes))
    shares = 1 / _counted(axes, include_pad=layer.count_include_pad)
    return Tensor(graph.add("Mul", summed, graph.constant(f"{x.name}_shares", shares.astype(graph.dtype))), shape)


def global_pool(graph: Graph, layer: GlobalPool, x: Tensor) -> Tensor:
    operator = {"max": "ReduceMax", "average": "ReduceMean"}[layer.kind]
    return Tensor(graph.add(operator, x.name, axes=list(range(2, 1 + len(x.shape))), keepdims=0), layer.output_shape(x.shape))


def _geometry(axes: Sequence[Axis]) -> dict[str, Any]:
    return {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "dilations": [axis.dilation for axis in axes],
        "pads": [axis.before for axis in axes] + [axis.after for axis in axes],
    }


def _counted(axes: Sequence[Axis], *, include_pad: bool) -> np.ndarray:
    """How many numbers of each window count: (windows down, windows across), or (windows,)."""
    along = []
    for axis in axes:
        places = np.arange(axis.outputs)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation - axis.before
        along.append(((places >= 0) & (places < axis.length) | include_pad).sum(axis=1))
    return along[0] if len(along) == 1 else np.outer(*along)
