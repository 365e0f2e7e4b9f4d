"""Artifacts of every layer, activation and preprocessing step, with their inputs: what an export must answer alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.network import NetworkSpec
from tests.nncore.test_gradients import NETWORKS, input_shape

DENSE_STEP = [{"type": "dense", "units": 5, "activation": "step"}, {"type": "dense", "units": 2}]
EVERY_NETWORK: dict[str, list[dict[str, Any]]] = {
    **NETWORKS,
    "activation-step": DENSE_STEP,
    "nothing-to-do": [{"type": "dropout", "rate": 0.5}],
    "picture": [
        {"type": "reshape", "shape": [1, 2, 2]},
        {"type": "parallel", "axis": -1, "branches": [[{"type": "conv2d", "filters": 1, "kernel_size": 1, "activation": "silu"}], []]},
        {"type": "average_pool", "kernel_size": 2, "stride": 1, "padding": [1, 0, 0, 1], "count_include_pad": False},
    ],
    "normal-sequence": [
        {"type": "reshape", "shape": [2, 2]},
        {"type": "layer_norm", "axes": 2, "epsilon": 0.01},
        {"type": "layer_norm"},
        {"type": "batch_norm", "epsilon": 0.3},
        {"type": "batch_norm", "affine": False},
        {"type": "global_pool", "kind": "average"},
    ],
    "padding-alone": [  # through all that keeps the steps, and into a branch; the first row is nothing but padding
        {"type": "embedding", "vocabulary": 2, "dimensions": 3, "padding_index": 0},
        {"type": "dropout", "rate": 0.5},
        {"type": "activation", "activation": "tanh"},
        {"type": "lstm", "units": 2, "bidirectional": True, "output": "all"},
        {"type": "parallel", "branches": [[{"type": "mean_over_sequence"}], [{"type": "rnn", "units": 2}]]},
    ],
    "wide-padding": [
        {"type": "reshape", "shape": [2, 2]},
        {"type": "max_pool", "kernel_size": 2, "dilation": 2, "stride": 1, "padding": 2},
        {"type": "flatten"},
        {"type": "dense", "units": 2},
    ],
}


def artifact_and_inputs(name: str, dtype: str, rows: int = 6, **changed: Any) -> tuple[Artifact, np.ndarray]:
    """The network with random parameters, and inputs (rows, *input_shape) in its dtype."""
    network, shape = NetworkSpec.model_validate({"layers": EVERY_NETWORK[name]}), input_shape(name)
    random = np.random.default_rng(sum(name.encode()))
    parameters = {info.name: random.uniform(-0.8, 0.8, info.shape).astype(dtype) for info in network.parameters(shape)}
    parameters |= {name: np.abs(values) + 0.3 for name, values in parameters.items() if name.endswith(".running_var")}
    fields: dict[str, Any] = {"loss": "mean_squared_error", "classes": None, "preprocessing": [], **changed}
    artifact = Artifact(network, input_names=("x",), input_shape=shape, target="y", dtype=dtype, parameters=parameters, **fields)
    if (vocabulary := EVERY_NETWORK[name][0].get("vocabulary")) is not None:
        tokens = random.integers(0, vocabulary, (rows, *shape)).astype(dtype)
        tokens[0] = EVERY_NETWORK[name][0].get("padding_index") or 0
        return artifact, tokens
    return artifact, random.standard_normal((rows, *shape)).astype(dtype)
