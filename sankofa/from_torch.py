"""A torch.nn.Sequential as a network definition, with its parameters: names and layout are the same in both.

    client.evaluate(network_from_torch(model), rows)            # what the model computes
    client.train(network_from_torch(model, weights=False), ...) # its layers, trained from the start

torch is not imported: a module is known by the name of its class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sankofa.errors import InvalidInput

Layer = dict[str, Any]
ACTIVATIONS = {"ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "SELU": "selu", "SiLU": "silu"}


def network_from_torch(model: Any, *, weights: bool = True) -> dict[str, Any]:
    """The network definition that computes what the model computes in `eval()`.

    weights: whether it carries the model's parameters, as `weight`, `bias` and so on of each layer. Training then begins with them.
    Raises InvalidInput naming each module that has no equal, where it stands, and what to do.
    """
    if type(model).__name__ != "Sequential":
        raise InvalidInput(f"model: expected a torch.nn.Sequential, got {type(model).__name__}; make one of its layers, in their order")
    layers: list[Layer] = []
    faults: list[str] = []
    for place, module in _modules(model):
        name = type(module).__name__
        try:
            made = _layer(name, module)
        except InvalidInput as error:
            faults.append(f"{place} ({name}): {error}")
            continue
        if made is None:
            continue
        if weights:
            made |= _parameters(module)
        layers.append(made)
    if faults:
        raise InvalidInput("; ".join(faults))
    if not layers:
        raise InvalidInput("model: expected at least one layer, got none")
    return {"layers": layers}


def _modules(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(place, module) of every module, Sequentials within taken apart."""
    for name, module in model.named_children():
        if type(module).__name__ == "Sequential":
            yield from _modules(module, f"{prefix}{name}.")
        else:
            yield f"module {prefix}{name}", module


def _layer(name: str, module: Any) -> Layer | None:
    """The layer equal to a module; None for one that computes nothing."""
    if name in ACTIVATIONS:
        return {"type": "activation", "activation": ACTIVATIONS[name]}
    if name in MADE:
        return MADE[name](module)
    if name in ("LSTM", "GRU", "RNN"):
        raise InvalidInput(f'a Sequential cannot hand on what it answers; write {{"type": "{name.lower()}", "units": ...}} yourself')
    known = ", ".join(sorted([*ACTIVATIONS, *MADE]))
    raise InvalidInput(f"there is no such layer; use one of {known}, or leave it out")


def _only(is_so: bool, wanted: str) -> None:
    if not is_so:
        raise InvalidInput(f"expected {wanted}; nothing else is known here")


def _sizes(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def _convolution(dimensions: int) -> Callable[[Any], Layer]:
    def made(module: Any) -> Layer:
        _only(module.padding_mode == "zeros", 'padding_mode "zeros"')
        return {
            "type": f"conv{dimensions}d",
            "filters": module.out_channels,
            "kernel_size": _sizes(module.kernel_size),
            "stride": _sizes(module.stride),
            "padding": _sizes(module.padding),
            "dilation": _sizes(module.dilation),
            "groups": module.groups,
            "use_bias": module.bias is not None,
        }

    return made


def _max_pool(module: Any) -> Layer:
    _only(not module.ceil_mode and not module.return_indices, "ceil_mode=False and return_indices=False")
    sizes = {name: _sizes(getattr(module, name)) for name in ("kernel_size", "stride", "padding", "dilation")}
    return {"type": "max_pool", **sizes}


def _average_pool(module: Any) -> Layer:
    _only(not module.ceil_mode and getattr(module, "divisor_override", None) is None, "ceil_mode=False and divisor_override=None")
    sizes = {name: _unwrapped(getattr(module, name)) for name in ("kernel_size", "stride", "padding")}
    return {"type": "average_pool", **sizes, "count_include_pad": module.count_include_pad}


def _unwrapped(value: Any) -> Any:
    """A size, without the tuple of one that AvgPool1d puts around it."""
    return value[0] if isinstance(value, tuple | list) and len(value) == 1 else _sizes(value)


def _global_pool(kind: str) -> Callable[[Any], Layer]:
    def made(module: Any) -> Layer:
        size = module.output_size
        _only(set(size if isinstance(size, tuple | list) else [size]) == {1}, "output_size 1, which is a global pool")
        return {"type": "global_pool", "kind": kind}

    return made


def _batch_norm(module: Any) -> Layer:
    _only(module.track_running_stats and module.momentum is not None, "track_running_stats=True and a momentum")
    return {"type": "batch_norm", "momentum": module.momentum, "epsilon": module.eps, "affine": module.affine}


def _layer_norm(module: Any) -> Layer:
    affine = module.elementwise_affine
    _only(not affine or module.bias is not None, "bias=True")
    return {"type": "layer_norm", "axes": len(module.normalized_shape), "epsilon": module.eps, "affine": affine}


def _embedding(module: Any) -> Layer:
    _only(module.max_norm is None, "max_norm=None")
    return {
        "type": "embedding",
        "vocabulary": module.num_embeddings,
        "dimensions": module.embedding_dim,
        "padding_index": module.padding_idx,
    }


def _flatten(module: Any) -> Layer:
    _only(module.start_dim == 1 and module.end_dim == -1, "start_dim=1 and end_dim=-1")
    return {"type": "flatten"}


def _unflatten(module: Any) -> Layer:
    _only(module.dim == 1, "dim=1")
    return {"type": "reshape", "shape": [int(length) for length in module.unflattened_size]}


def _softmax(name: str) -> Callable[[Any], Layer]:
    def made(module: Any) -> Layer:
        _only(module.dim in (1, -1), "dim=1 or dim=-1")
        return {"type": "activation", "activation": name}

    return made


def _with(name: str, **wanted: Any) -> Callable[[Any], Layer]:
    """An activation that is known with these settings alone."""

    def made(module: Any) -> Layer:
        for setting, value in wanted.items():
            _only(getattr(module, setting) == value, f"{setting}={value!r}")
        return {"type": "activation", "activation": name}

    return made


def _gelu(module: Any) -> Layer:
    return {"type": "activation", "activation": "gelu" if module.approximate == "none" else "gelu_tanh"}


MADE: dict[str, Callable[[Any], Layer | None]] = {
    "Linear": lambda module: {"type": "dense", "units": module.out_features, "use_bias": module.bias is not None},
    "Conv1d": _convolution(1),
    "Conv2d": _convolution(2),
    "MaxPool1d": _max_pool,
    "MaxPool2d": _max_pool,
    "AvgPool1d": _average_pool,
    "AvgPool2d": _average_pool,
    "AdaptiveAvgPool1d": _global_pool("average"),
    "AdaptiveAvgPool2d": _global_pool("average"),
    "AdaptiveMaxPool1d": _global_pool("max"),
    "AdaptiveMaxPool2d": _global_pool("max"),
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": _layer_norm,
    "Embedding": _embedding,
    "Dropout": lambda module: {"type": "dropout", "rate": module.p},
    "Flatten": _flatten,
    "Unflatten": _unflatten,
    "Identity": lambda module: None,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "LeakyReLU": _with("leaky_relu", negative_slope=0.01),
    "ELU": _with("elu", alpha=1.0),
    "Softplus": _with("softplus", beta=1.0),
    "GELU": _gelu,
}
PARAMETERS = ("weight", "bias", "running_mean", "running_var")


def _parameters(module: Any) -> Layer:
    """The module's parameters and running statistics, as lists."""
    found: dict[str, Any] = {name: getattr(module, name, None) for name in PARAMETERS}
    return {name: values.detach().cpu().tolist() for name, values in found.items() if values is not None}
