"""Every layer, activation and loss: its gradient against central differences, and against PyTorch. A new one without a case fails."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from nncore.activations import ACTIVATION_CODES, ActivationName
from nncore.layers import LayerSpec
from nncore.losses import LossSpec

FIRST, LAST = {"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}

# Layers in the middle of a network, so that their inputs have gradients too. By type; a list of variants of it.
LAYER_CASES: dict[str, list[dict[str, Any]]] = {
    "dense": [
        {"type": "dense", "units": 5, "activation": "sigmoid"},
        {"type": "dense", "units": 5, "activation": "relu", "use_bias": False},
    ],
    "dropout": [{"type": "dropout", "rate": 0.4}, {"type": "dropout", "rate": 0.0}],
    "flatten": [{"type": "flatten"}],
    "residual": [
        {"type": "residual", "layers": [{"type": "dense", "units": 5, "activation": "tanh"}, {"type": "dense", "units": 6}]},
        {"type": "residual", "layers": [{"type": "residual", "layers": [{"type": "flatten"}]}, {"type": "dense", "units": 6}]},
    ],
    "parallel": [
        {"type": "parallel", "branches": [[{"type": "dense", "units": 3, "activation": "relu"}], [], [{"type": "dense", "units": 2}]]},
        {"type": "parallel", "merge": "add", "branches": [[], [{"type": "dense", "units": 6}], [{"type": "flatten"}]]},
        {"type": "parallel", "branches": [[{"type": "residual", "layers": [{"type": "dense", "units": 6, "activation": "sigmoid"}]}]]},
    ],
    "reshape": [{"type": "reshape", "shape": [2, -1]}],
    "activation": [{"type": "activation", "activation": "tanh"}, {"type": "activation", "activation": "softmax"}],
    "conv1d": [
        {"type": "conv1d", "filters": 3, "kernel_size": 3, "activation": "tanh"},
        {"type": "conv1d", "filters": 4, "kernel_size": 2, "stride": 2, "padding": "same", "groups": 2},
        {"type": "conv1d", "filters": 2, "kernel_size": 3, "dilation": 3, "padding": [4, 1], "use_bias": False, "activation": "gelu"},
    ],
    "conv2d": [
        {"type": "conv2d", "filters": 3, "kernel_size": 2, "activation": "sigmoid"},
        {"type": "conv2d", "filters": 4, "kernel_size": [3, 2], "stride": [1, 2], "padding": "same", "groups": 2, "activation": "tanh"},
        {"type": "conv2d", "filters": 2, "kernel_size": 2, "dilation": [1, 2], "padding": [1, 0, 0, 3], "use_bias": False},
        {"type": "conv2d", "filters": 2, "kernel_size": 3, "stride": 2, "padding": 1},
    ],
    "max_pool": [
        {"type": "max_pool", "kernel_size": 2},
        {"type": "max_pool", "kernel_size": 3, "stride": 1, "padding": "same"},
        {"type": "max_pool", "kernel_size": 2, "stride": 1, "dilation": 2, "padding": 1},
    ],
    "average_pool": [
        {"type": "average_pool", "kernel_size": 2},
        {"type": "average_pool", "kernel_size": 3, "stride": 1, "padding": "same", "count_include_pad": False},
        {"type": "average_pool", "kernel_size": [3, 2], "stride": [1, 2], "padding": [1, 0, 0, 1]},
        {"type": "average_pool", "kernel_size": 2, "stride": 1, "dilation": 2, "padding": 1, "count_include_pad": False},
    ],
    "layer_norm": [{"type": "layer_norm"}, {"type": "layer_norm", "affine": False, "epsilon": 0.1}],
    "batch_norm": [{"type": "batch_norm"}, {"type": "batch_norm", "affine": False, "epsilon": 0.1}],
    "global_pool": [{"type": "global_pool", "kind": "max"}, {"type": "global_pool", "kind": "average"}],
}
# What stands in front of a layer that takes items of several axes, and behind it.
SEQUENCE, PICTURE = {"type": "reshape", "shape": [2, 7]}, {"type": "reshape", "shape": [2, 3, 4]}
WIDE = [{"type": "dense", "units": 14, "activation": "tanh"}, {"type": "dense", "units": 24, "activation": "tanh"}]
AXES: dict[str, list[dict[str, Any]]] = {
    "conv1d": [WIDE[0], SEQUENCE],
    "conv2d": [WIDE[1], PICTURE],
    "max_pool": [WIDE[1], PICTURE],
    "average_pool": [WIDE[1], PICTURE],
    "global_pool": [WIDE[1], PICTURE],
    "reshape": [WIDE[0]],
}
# Layers that read sequences, behind one that gives the state after every step: of their own type, unless it has no state.
BEFORE: dict[str, dict[str, Any]] = {"mean_over_sequence": {"type": "rnn", "units": 3, "output": "all"}}
SEQUENCE_CASES: dict[str, list[dict[str, Any]]] = {
    name: [
        {"type": name, "units": 2},
        {"type": name, "units": 3, "output": "all"},
        {"type": name, "units": 2, "bidirectional": True},
        {"type": name, "units": 2, "bidirectional": True, "output": "all"},
    ]
    for name in ("lstm", "gru", "rnn")
}
SEQUENCE_CASES["mean_over_sequence"] = [{"type": "mean_over_sequence"}]
SEQUENCE_CASES["rnn"].append({"type": "rnn", "units": 3, "nonlinearity": "relu"})
# Layers that read the inputs, and so come first.
FIRST_CASES: dict[str, list[dict[str, Any]]] = {
    "embedding": [
        {"type": "embedding", "vocabulary": 4, "dimensions": 3},
        {"type": "embedding", "vocabulary": 3, "dimensions": 2, "padding_index": 1},
    ]
}
KEEPING = [
    {"type": "layer_norm"},
    {"type": "residual", "layers": [{"type": "activation", "activation": "gelu"}]},
]
MEAN = {"type": "mean_over_sequence"}
ACTIVATION_CASES = [name for name in get_args(ActivationName) if name != "step"]
LOSS_CASES = [
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "binary_cross_entropy",
    "softmax_cross_entropy",
    "negative_log_likelihood",
]


def types_of(union: Any) -> set[str]:
    return {spec.model_fields["type"].default for spec in get_args(get_args(union)[0])}


def test_every_layer_activation_and_loss_has_a_gradient_case() -> None:
    assert {*LAYER_CASES, *SEQUENCE_CASES, *FIRST_CASES} == types_of(LayerSpec)
    assert set(LOSS_CASES) == types_of(LossSpec)
    assert {*ACTIVATION_CASES, "step"} == set(ACTIVATION_CODES)


NETWORKS = {
    **{
        f"{name}-{number}": [*AXES[name], layer, {"type": "flatten"}, LAST] if name in AXES else [FIRST, layer, LAST]
        for name, layers in LAYER_CASES.items()
        for number, layer in enumerate(layers)
    },
    **{f"activation-{name}": [FIRST, {"type": "dense", "units": 5, "activation": name}, LAST] for name in ACTIVATION_CASES},
    "sequence-pool": [WIDE[0], SEQUENCE, {"type": "max_pool", "kernel_size": 2, "padding": [0, 1]}, {"type": "flatten"}, LAST],
    "sequence-average": [
        WIDE[0],
        SEQUENCE,
        {"type": "average_pool", "kernel_size": 3, "stride": 2, "padding": 1},
        {"type": "flatten"},
        LAST,
    ],
    "sequence-global": [WIDE[0], SEQUENCE, {"type": "global_pool", "kind": "max"}, LAST],
    "sequence-layer-norm": [WIDE[0], SEQUENCE, {"type": "layer_norm", "axes": 2}, {"type": "layer_norm"}, {"type": "flatten"}, LAST],
    "sequence-batch-norm": [WIDE[0], SEQUENCE, {"type": "batch_norm"}, {"type": "flatten"}, LAST],
    "picture-batch-norm": [WIDE[1], PICTURE, {"type": "batch_norm", "affine": False}, {"type": "batch_norm"}, {"type": "flatten"}, LAST],
    "batch-norm-first": [{"type": "batch_norm"}, LAST],
    "layer-norm-first": [{"type": "layer_norm"}, LAST],
    "conv-first": [{"type": "reshape", "shape": [2, 2]}, {"type": "conv1d", "filters": 2, "kernel_size": 2}, {"type": "flatten"}, LAST],
    "pool-first": [{"type": "reshape", "shape": [1, 2, 2]}, {"type": "max_pool", "kernel_size": 2}, {"type": "flatten"}, LAST],
    "one-layer": [LAST],
    "dropout-first": [{"type": "dropout", "rate": 0.3}, LAST],
    **{
        f"{name}-{number}": [BEFORE.get(name, {"type": name, "units": 3, "output": "all"}), layer, {"type": "flatten"}, LAST]
        for name, layers in SEQUENCE_CASES.items()
        for number, layer in enumerate(layers)
    },
    # The vector of the padding has no gradient by definition, so what stands behind it must not depend on it.
    "embedding-0": [FIRST_CASES["embedding"][0], {"type": "flatten"}, LAST],
    "embedding-1": [FIRST_CASES["embedding"][1], {"type": "mean_over_sequence"}, LAST],
    "embedding-mean-of-what-follows": [FIRST_CASES["embedding"][1], *KEEPING, {"type": "mean_over_sequence"}, LAST],
    "embedding-mean-in-branches": [
        FIRST_CASES["embedding"][1],
        {"type": "parallel", "branches": [[MEAN], [MEAN], [*KEEPING, MEAN]]},
        LAST,
    ],
    "embedding-mean-in-branches-of-branches": [
        FIRST_CASES["embedding"][1],
        {"type": "residual", "layers": [{"type": "parallel", "merge": "add", "branches": [[], [KEEPING[1]]]}]},
        {"type": "parallel", "branches": [[MEAN], [{"type": "parallel", "branches": [[MEAN], [KEEPING[1], MEAN]]}]]},
        LAST,
    ],
    "residual-first": [{"type": "residual", "layers": [{"type": "dense", "units": 4, "activation": "tanh"}]}, LAST],
    "residual-last": [FIRST, LAST, {"type": "residual", "layers": [{"type": "dense", "units": 3}]}],
    "parallel-first": [{"type": "parallel", "branches": [[{"type": "dense", "units": 3}], []]}, LAST],
    "one-output": [FIRST, {"type": "dense", "units": 1}],
    "activated-output": [FIRST, {"type": "dense", "units": 3, "activation": "sigmoid"}],
}


def input_shape(name: str) -> tuple[int, ...]:
    return (3, 2) if name.split("-")[0] in SEQUENCE_CASES else (4,)


@pytest.mark.parametrize("loss", LOSS_CASES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_equals_central_differences(name: str, loss: str, one_step: Any) -> None:
    step = one_step(NETWORKS[name], loss, input_shape=input_shape(name))
    expected = step.differences()
    assert np.abs(expected).max() > 1e-3 or (name, loss) == ("one-output", "softmax_cross_entropy")
    np.testing.assert_allclose(step.gradient(step.parameters), expected, atol=2e-10, rtol=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("loss", LOSS_CASES)
@pytest.mark.parametrize("name", [name for name in NETWORKS if "dropout" not in name])
def test_loss_and_gradient_equal_those_of_torch(name: str, loss: str, one_step: Any, torch_network: Any, torch_loss: Any) -> None:
    import torch

    step = one_step(NETWORKS[name], loss, rows=7, input_shape=input_shape(name))
    model = torch_network(step.network, input_shape(name), step.parameters)
    expected = torch_loss(loss, model(torch.tensor(step.inputs)), step.targets, step.labels)
    expected.backward()
    gradient = torch.cat([parameter.grad.ravel() for parameter in model.parameters()]).numpy()
    assert step.loss() == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(step.gradient(), gradient, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("loss", LOSS_CASES)
@pytest.mark.parametrize("name", NETWORKS)
def test_float32_gives_the_gradient_of_float64_within_its_precision(name: str, loss: str, one_step: Any) -> None:
    exact, rounded = (one_step(NETWORKS[name], loss, dtype=dtype, input_shape=input_shape(name)) for dtype in ("float64", "float32"))
    assert rounded.gradient().dtype == np.float32
    np.testing.assert_allclose(rounded.gradient(), exact.gradient(), atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("loss", LOSS_CASES)
@pytest.mark.parametrize("name", [name for name in NETWORKS if not {"dropout", "batch"} & {*name.replace("_", "-").split("-")}])
def test_the_evaluation_plan_computes_what_the_training_plan_does(name: str, loss: str, one_step: Any) -> None:
    step = one_step(NETWORKS[name], loss, input_shape=input_shape(name))
    assert step.evaluated()[0] == pytest.approx(step.loss(), rel=1e-14)
