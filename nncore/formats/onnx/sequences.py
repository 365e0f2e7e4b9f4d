"""embedding and mean_over_sequence as ONNX operators. Which steps are padding goes along with the tensor, as it does in a plan."""

from __future__ import annotations

import numpy as np

from nncore.formats.onnx.graph import TYPES, Graph, Tensor
from nncore.layers import Embedding, MeanOverSequence


def embedding(graph: Graph, layer: Embedding, x: Tensor) -> Tensor:
    tokens = graph.add("Cast", x.name, to=TYPES["int64"])
    vectors = graph.add("Gather", graph.constant(*graph.parameters.take("weight")), tokens, axis=0)
    mask = ""
    if layer.padding_index is not None:
        padding = graph.constant("padding", np.array(layer.padding_index))
        counts = graph.add("Cast", graph.add("Not", graph.add("Equal", tokens, padding)), to=TYPES[graph.dtype])
        mask = graph.add("Unsqueeze", counts, graph.whole_numbers(2))
    return Tensor(vectors, layer.output_shape(x.shape), mask)


def mean_over_sequence(graph: Graph, layer: MeanOverSequence, x: Tensor) -> Tensor:
    shape = layer.output_shape(x.shape)
    if not x.mask:
        return Tensor(graph.add("ReduceMean", x.name, axes=[1], keepdims=0), shape)
    steps = graph.whole_numbers(1)
    total = graph.add("ReduceSum", graph.add("Mul", x.name, x.mask), steps, keepdims=0)
    count = graph.add("Max", graph.add("ReduceSum", x.mask, steps, keepdims=0), graph.number(1.0))
    return Tensor(graph.add("Div", total, count), shape)
