"""LSTM, GRU and the simple recurrence as ONNX operators.

ONNX has time first, both directions in one tensor, and the gates in another order: i, o, f, c for LSTM (here i, f, g, o), z, r, h for GRU
(here r, z, n, with r behind the product: linear_before_reset = 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.formats.onnx.graph import Graph, Tensor
from nncore.layers import GRU, LSTM, RNN
from nncore.layers.recurrence import Recurrent

GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""Which of our gates stands at each place of ONNX's."""


def lstm(graph: Graph, layer: LSTM, x: Tensor) -> Tensor:
    return _recurrence(graph, layer, x, {})


def gru(graph: Graph, layer: GRU, x: Tensor) -> Tensor:
    return _recurrence(graph, layer, x, {"linear_before_reset": 1})


def rnn(graph: Graph, layer: RNN, x: Tensor) -> Tensor:
    return _recurrence(graph, layer, x, {"activations": [layer.nonlinearity.title()] * (2 if layer.bidirectional else 1)})


def _recurrence(graph: Graph, layer: Recurrent, x: Tensor, attributes: dict[str, Any]) -> Tensor:
    name, shape = type(layer).__name__, layer.output_shape(x.shape)
    directions = 2 if layer.bidirectional else 1
    weights: dict[str, list[np.ndarray]] = {"W": [], "R": [], "B": []}
    for suffix in ("_l0", "_l0_reverse")[:directions]:
        full_name, from_inputs = graph.parameters.take(f"weight_ih{suffix}")
        from_state, *biases = (graph.parameters.take(f"{each}{suffix}")[1] for each in ("weight_hh", "bias_ih", "bias_hh"))
        gates = GATES[name.lower()]
        weights["W"].append(_in_order(from_inputs, gates))
        weights["R"].append(_in_order(from_state, gates))
        weights["B"].append(np.concatenate([_in_order(bias, gates) for bias in biases]))
    module = full_name.rpartition(".")[0]
    constants = [graph.constant(f"{module}.{which}", np.stack(parts)) for which, parts in weights.items()]
    every, last = f"{module}.every_state", f"{module}.last_state"
    # every: (steps, directions, batch, units); last: (directions, batch, units)
    wanted = [every] if layer.output == "all" else ["", last]
    states = graph.add(
        name,
        graph.add("Transpose", x.name, perm=[1, 0, 2]),
        *constants,
        outputs=wanted,
        hidden_size=layer.units,
        direction="bidirectional" if layer.bidirectional else "forward",
        **attributes,
    )
    batch_first = graph.add("Transpose", states, perm=[2, 0, 1, 3] if layer.output == "all" else [1, 0, 2])
    return graph.reshaped(Tensor(batch_first, shape), shape)._replace(mask=x.mask if layer.output == "all" else "")


def _in_order(values: np.ndarray, gates: tuple[int, ...]) -> np.ndarray:
    """(gates * units, ...) with the gates in ONNX's order."""
    return np.concatenate([np.split(values, len(gates))[gate] for gate in gates])
