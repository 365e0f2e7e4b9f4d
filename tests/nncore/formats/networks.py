"""Artifacts of every layer, activation and preprocessing step, with their inputs: what an export must answer alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.network import NetworkSpec
from tests.nncore.test_gradients import NETWORKS, input_shape

DENSE_STEP = [{"type": "dense", "units": 5, "activation": "step"}, {"type": "dense", "units": 2}]
# Networks as users have them, with the shape of their items.
WHOLE: dict[str, tuple[tuple[int, ...], list[dict[str, Any]]]] = {
    "whole-pictures": (
        (1, 12, 12),
        [
            {"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "use_bias": False},
            {"type": "batch_norm"},
            {"type": "activation", "activation": "relu"},
            {"type": "max_pool", "kernel_size": 2},
            {"type": "residual", "layers": [{"type": "conv2d", "filters": 4, "kernel_size": 3, "padding": 1, "activation": "gelu"}]},
            {"type": "conv2d", "filters": 6, "kernel_size": 3, "stride": 2, "groups": 2, "activation": "silu"},
            {"type": "global_pool", "kind": "average"},
            {"type": "dropout", "rate": 0.3},
            {"type": "dense", "units": 10},
        ],
    ),
    "whole-sequences": (
        (20, 3),
        [
            {"type": "lstm", "units": 5, "output": "all", "bidirectional": True},
            {"type": "layer_norm"},
            {"type": "gru", "units": 4, "bidirectional": True},
            {"type": "dense", "units": 6, "activation": "selu"},
            {"type": "parallel", "merge": "add", "branches": [[], [{"type": "dense", "units": 6, "activation": "tanh"}]]},
            {"type": "dense", "units": 1},
        ],
    ),
    "whole-texts": (
        (9,),
        [
            {"type": "embedding", "vocabulary": 30, "dimensions": 8, "padding_index": 0},
            {"type": "rnn", "units": 6, "output": "all"},
            {"type": "mean_over_sequence"},
            {"type": "dense", "units": 3},
        ],
    ),
}
EVERY_NETWORK: dict[str, list[dict[str, Any]]] = {
    **NETWORKS,
    **{name: layers for name, (_, layers) in WHOLE.items()},
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


WORDS = ["Good, good film", "bad", "not GOOD at all, at all", "?", "\u00e9t\u00e9 5 km", "good film"]


def artifact_of_columns(dtype: str, *names: str, channels_first: bool = False) -> tuple[Artifact, dict[str, Any]]:
    """A network behind every preprocessing step, and rows of the columns that are named.

    colour: text, one_hot. class: whole numbers, one_hot. size: scaled twice. sound: scaled, log_mel, scaled. review: bag_of_words.
    age, income: some of their numbers are missing, which are imputed; of income it is told which.
    """
    bands = {"sample_rate": 8000.0, "window": 16, "hop": 5, "mels": 3, "lowest_hertz": 100.0, "highest_hertz": None, "floor": 1e-6}

    def kinds(*categories: str | int | None) -> dict[str, Any]:
        return {"categories": list(categories)}

    fitted: list[dict[str, Any]] = [
        {"type": "standardize", "columns": {"size": {"offset": [1.5, 2.0], "scale": [0.5, 3.0]}, "sound": _same(40, 0.1, 2.0)}},
        {
            "type": "one_hot",
            "unknown": "zeros",
            "columns": {"colour": {"categories": ["red", None, "\u00e9"]}, "class": {"categories": [3, 1, None]}},
        },
        {"type": "log_mel", **bands, "mel_scale": "htk", "channels_first": channels_first, "columns": {"sound": {"samples": 40}}},
        {"type": "missing_indicator", **({"dtype": dtype} if dtype == "float64" else {}), "columns": {"income": {}}},
        {"type": "impute", "columns": {"age": {"fill": [0.5]}, "income": {"fill": [-1.0, 0.0]}}},
        {"type": "bag_of_words", "size": 7, "lower_case": True, "norm": "l2", "columns": {"review": {}}},
        {"type": "min_max", "columns": {"size": {"offset": [0.0, 1.0], "scale": [2.0, 1.0]}, "sound": _same(15, -1.0, 4.0)}},
    ]
    random, features = np.random.default_rng(7), {"colour": 3, "class": 3, "size": 2, "sound": 15, "review": 7, "age": 1, "income": 2}
    rows: dict[str, Any] = {
        "colour": ["red", "blue", "\u00e9", "red", "violet", "\u00e9"],
        "class": np.array([1.0, 2.0, 3.0, 3.0, 1.0, 9.0]),
        "size": random.standard_normal((6, 2)).round(2),
        "sound": random.standard_normal((6, 40)).round(2),
        "review": WORDS,
        "age": np.array([1.0, np.nan, 0.25, 3.0, np.nan, -1.0]),
        "income": np.array([np.nan, 2.1, 0.25, np.nan, 1.0, 0.0]),
    }
    shapes: dict[str, tuple[int, ...] | None] = {
        "colour": None,
        "class": (),
        "size": (2,),
        "sound": (40,),
        "review": None,
        "age": (),
        "income": (),
    }
    steps = [{**step, "columns": {name: each for name, each in step["columns"].items() if name in names}} for step in fitted]
    total = sum(features[name] for name in names)
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 2}]})
    parameters = {info.name: random.uniform(-0.8, 0.8, info.shape).astype(dtype) for info in network.parameters((total,))}
    artifact = Artifact(
        network, "mean_squared_error", names, (total,), "y", None, [step for step in steps if step["columns"]], dtype, parameters,
        item_shapes=tuple(shapes[name] for name in names),
    )  # fmt: skip
    return artifact, {name: rows[name] for name in names}


def _same(count: int, offset: float, scale: float) -> dict[str, list[float]]:
    return {"offset": [offset] * count, "scale": [scale] * count}


def artifact_and_inputs(name: str, dtype: str, rows: int = 6, **changed: Any) -> tuple[Artifact, np.ndarray]:
    """The network with random parameters, and inputs (rows, *input_shape) in its dtype."""
    network = NetworkSpec.model_validate({"layers": EVERY_NETWORK[name]})
    shape = WHOLE[name][0] if name in WHOLE else input_shape(name)
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
