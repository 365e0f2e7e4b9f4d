"""Activations as ONNX operators. Others are put together: the opset has none for them, or one whose constants are float32 for ever."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from nncore.activations import CUBE, NEGATIVE_SLOPE, SELU_ALPHA, SELU_SCALE, ActivationName
from nncore.formats.onnx.graph import TYPES, Graph, Tensor

OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("Relu", {}),
    "softmax": ("Softmax", {"axis": -1}),
    "log_softmax": ("LogSoftmax", {"axis": -1}),
    "elu": ("Elu", {}),
    "softplus": ("Softplus", {}),
}


def activated(graph: Graph, x: Tensor, activation: ActivationName) -> Tensor:
    """What the activation makes of x."""
    if activation == "linear":
        return x
    if activation in OPERATORS:
        operator, attributes = OPERATORS[activation]
        return x._replace(name=graph.add(operator, x.name, **attributes))
    return x._replace(name=COMPOSED[activation](graph, x.name))


def _step(graph: Graph, x: str) -> str:
    return graph.add("Cast", graph.add("Greater", x, graph.number(0.0)), to=TYPES[graph.dtype])


def _leaky_relu(graph: Graph, x: str) -> str:
    return graph.add("Max", x, graph.add("Mul", x, graph.number(NEGATIVE_SLOPE)))


def _selu(graph: Graph, x: str) -> str:
    """scale (max(x, 0) + alpha elu(min(x, 0)))"""
    below = graph.add("Elu", graph.add("Min", x, graph.number(0.0)))
    bent = graph.add("Add", graph.add("Relu", x), graph.add("Mul", below, graph.number(SELU_ALPHA)))
    return graph.add("Mul", bent, graph.number(SELU_SCALE))


def _silu(graph: Graph, x: str) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _gelu(graph: Graph, x: str) -> str:
    """x / 2 (1 + erf(x / sqrt 2))"""
    return _half_of_x_times_one_plus(graph, x, graph.add("Erf", graph.add("Mul", x, graph.number(sqrt(0.5)))))


def _gelu_tanh(graph: Graph, x: str) -> str:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))"""
    cubed = graph.add("Mul", graph.add("Mul", x, x), x)
    inner = graph.add("Add", x, graph.add("Mul", cubed, graph.number(CUBE)))
    return _half_of_x_times_one_plus(graph, x, graph.add("Tanh", graph.add("Mul", inner, graph.number(sqrt(2 / pi)))))


def _half_of_x_times_one_plus(graph: Graph, x: str, bent: str) -> str:
    half = graph.add("Mul", x, graph.number(0.5))
    return graph.add("Mul", half, graph.add("Add", bent, graph.number(1.0)))


COMPOSED = {"step": _step, "leaky_relu": _leaky_relu, "selu": _selu, "silu": _silu, "gelu": _gelu, "gelu_tanh": _gelu_tanh}
