"""Each layer of a network definition as modules of torch. `RULES` names the rule of every type of layer.

A rule is given the layer, as it stands in a file of the service, and one row that comes in, whose shape says what the layer works on. The
modules of a torch.nn.Sequential have then the names that the service gives the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sankofa.errors import InvalidInput
from sankofa.in_torch.modules import (
    GRU,
    LSTM,
    RNN,
    AveragePool,
    Embedding,
    MeanOverSequence,
    PaddedConv1d,
    PaddedConv2d,
    Padding,
    Parallel,
    Residual,
    Step,
)

Layer = Mapping[str, Any]
# Behind these what is padding in a sequence is padding still.
KEEP_THE_STEPS = {"activation", "dropout", "layer_norm", "residual"}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "softmax": lambda: nn.Softmax(dim=-1),
    "log_softmax": lambda: nn.LogSoftmax(dim=-1),
    "step": Step,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
}


def sequential(layers: Sequence[Layer], x: Tensor, padding: Padding | None = None) -> tuple[nn.Sequential, Tensor]:
    """The layers, and what they make of the row `x`.

    padding: what an embedding in front of them says. Raises InvalidInput for a type of layer that is not known here.
    """
    modules = nn.Sequential()
    for layer in layers:
        if layer["type"] not in RULES:
            raise InvalidInput(f"a layer of type {layer['type']} has no equal in torch; job.download() has other formats")
        made = RULES[layer["type"]](layer, x, padding)
        if layer["type"] == "embedding":
            padding = made[0].padding
        elif not (layer["type"] in KEEP_THE_STEPS or layer.get("output") == "all"):
            padding = None
        for module in made:
            modules.append(module)
            # One row is too few for batch_norm while it trains.
            with torch.no_grad():
                x = module.eval()(x)
    return modules, x


def activated(layer: Layer) -> list[nn.Module]:
    """The layer's activation as a module of its own; none where it is linear."""
    name = layer.get("activation", "linear")
    return [] if name == "linear" else [_activation(name)]


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise InvalidInput(f"the activation {name} has no equal in torch; job.download() has other formats")
    return ACTIVATIONS[name]()


def dense(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    return [nn.Linear(x.shape[-1], layer["units"], bias=layer["use_bias"]), *activated(layer)]


def activation(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    return activated(layer) or [nn.Identity()]


def dropout(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    return [nn.Dropout(layer["rate"])]


def flatten(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    return [nn.Flatten()]


def reshape(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    shape = tuple(x.reshape(layer["shape"]).shape)
    return [nn.Unflatten(1, shape) if x.ndim == 2 else nn.Sequential(nn.Flatten(), nn.Unflatten(1, shape))]


def convolution(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    kernel, stride, dilation, pads = _windows(layer, x)
    options = {"stride": stride, "dilation": dilation, "groups": layer["groups"], "bias": layer["use_bias"]}
    sizes = (x.shape[1], layer["filters"], kernel)
    symmetric = _symmetric(pads)
    if symmetric is not None:
        kind = nn.Conv2d if x.ndim == 4 else nn.Conv1d
        return [kind(*sizes, padding=symmetric, **options), *activated(layer)]
    padded = (PaddedConv2d if x.ndim == 4 else PaddedConv1d)(*sizes, **options)
    padded.pads = pads
    return [padded, *activated(layer)]


def max_pool(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    kernel, stride, dilation, pads = _windows(layer, x)
    pool: nn.Module = (nn.MaxPool2d if x.ndim == 4 else nn.MaxPool1d)(kernel, stride, dilation=dilation)
    if not any(pads):
        return [pool]
    pad = nn.ConstantPad2d if x.ndim == 4 else nn.ConstantPad1d
    return [nn.Sequential(pad(tuple(pads), -torch.inf), pool)]


def average_pool(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    kernel, stride, dilation, pads = _windows(layer, x)
    if not any(pads) and max(dilation) == 1:
        return [(nn.AvgPool2d if x.ndim == 4 else nn.AvgPool1d)(kernel, stride)]
    return [AveragePool(kernel, stride, dilation, pads, layer["count_include_pad"])]


def global_pool(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    kinds = {"max": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d), "average": (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)}
    return [kinds[layer["kind"]][x.ndim - 3](1), nn.Flatten()]


def batch_norm(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
    return [kind(x.shape[1], layer["epsilon"], layer["momentum"], layer["affine"])]


def layer_norm(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    return [nn.LayerNorm(x.shape[-layer["axes"] :], layer["epsilon"], layer["affine"])]


def embedding(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    module = Embedding(layer["vocabulary"], layer["dimensions"], layer.get("padding_index"))
    module.padding = None if layer.get("padding_index") is None else Padding()
    return [module]


def mean_over_sequence(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    return [MeanOverSequence(padding)]


def recurrence(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    kinds: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
    options = {"nonlinearity": layer["nonlinearity"]} if layer["type"] == "rnn" else {}
    module = kinds[layer["type"]](x.shape[-1], layer["units"], batch_first=True, bidirectional=layer["bidirectional"], **options)
    module.every = layer["output"] == "all"
    return [module]


def residual(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    return [Residual(sequential(layer["layers"], x, padding)[0])]


def parallel(layer: Layer, x: Tensor, padding: Padding | None) -> list[Any]:
    branches = [sequential(branch, x, padding)[0] for branch in layer["branches"]]
    return [Parallel(branches, layer["merge"], layer["axis"])]


def _windows(layer: Layer, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], list[int]]:
    """Kernel, stride and dilation along each axis; and the pads as torch wants them: the last axis first, before and after."""
    lengths = x.shape[2:]

    def each(value: int | list[int]) -> tuple[int, ...]:
        return (value,) * len(lengths) if isinstance(value, int) else tuple(value)

    kernel = each(layer["kernel_size"])
    stride = kernel if layer.get("stride") is None else each(layer["stride"])
    dilation, padding = each(layer["dilation"]), layer["padding"]
    if padding == "valid":
        around = [(0, 0)] * len(lengths)
    elif padding == "same":
        # As many windows as strides; what cannot be halved goes to the end.
        windows = zip(lengths, kernel, stride, dilation, strict=True)
        missing = [max(0, (-(-length // step) - 1) * step + (size - 1) * apart + 1 - length) for length, size, step, apart in windows]
        around = [(number // 2, number - number // 2) for number in missing]
    elif isinstance(padding, list) and len(padding) == 2 * len(lengths):
        around = list(zip(padding[: len(lengths)], padding[len(lengths) :], strict=True))
    else:
        around = [(number, number) for number in each(padding)]
    return kernel, stride, dilation, [pad for both in reversed(around) for pad in both]


def _symmetric(pads: Sequence[int]) -> tuple[int, ...] | None:
    """The pads of each axis, first axis first, where they are the same on both sides."""
    before, after = pads[::2], pads[1::2]
    return tuple(reversed(before)) if before == after else None


RULES: dict[str, Callable[[Layer, Tensor, Padding | None], list[Any]]] = {
    "dense": dense,
    "activation": activation,
    "dropout": dropout,
    "flatten": flatten,
    "reshape": reshape,
    "conv1d": convolution,
    "conv2d": convolution,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_pool": global_pool,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "embedding": embedding,
    "mean_over_sequence": mean_over_sequence,
    "lstm": recurrence,
    "gru": recurrence,
    "rnn": recurrence,
    "residual": residual,
    "parallel": parallel,
}
