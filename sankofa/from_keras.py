"""What `keras.Sequential.get_config()` says, as a network definition; with `get_weights()` its parameters, too.

    network = network_from_keras(model.get_config(), model.get_weights())

keras is not imported: a config is data. Pictures and sequences that a convolution reads are channels first here, (channels, height, width)
and (channels, length); those of keras are channels last. Weights are turned around accordingly, also behind a Flatten; the inputs are for
you to turn: `x.transpose(0, 3, 1, 2)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from sankofa.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

Layer = dict[str, Any]
ACTIVATIONS = {
    name: name for name in ("linear", "relu", "sigmoid", "tanh", "softmax", "log_softmax", "elu", "selu", "gelu", "softplus", "silu")
} | {"swish": "silu"}  # fmt: skip


def network_from_keras(config: Mapping[str, Any], weights: Sequence[Any] | None = None) -> dict[str, Any]:
    """The network definition that computes what the keras model computes.

    config: of a Sequential, `model.get_config()`, or as JSON tells it. weights: `model.get_weights()`; without them the layers alone.
    Raises InvalidInput naming each layer that has no equal, where it stands, and what to do.
    """
    told = config.get("config", config) if isinstance(config, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(told.get("layers"), Sequence):
        raise InvalidInput("config: expected what get_config() of a keras.Sequential says, a dict with `layers`")
    reader = _Reader(None if weights is None else list(weights), told.get("build_input_shape"))
    faults: list[str] = []
    for place, layer in enumerate(told["layers"]):
        name = layer.get("class_name", "?")
        try:
            reader.read(name, layer.get("config", {}))
        except InvalidInput as error:
            faults.append(f"layer {place} ({name}): {error}")
            if reader.weights is not None:
                break  # which weights are whose is not known behind it
    if not faults and not reader.layers:
        faults.append("config: expected at least one layer, got none")
    if not faults and reader.weights:
        faults.append(f"weights: expected those of the layers, got {len(reader.weights)} more")
    if faults:
        raise InvalidInput("; ".join(faults))
    return {"layers": reader.layers}


class _Reader:
    """The layers so far, and the shape of what they give, channels first.

    turned: whether the axes are others than keras's. order: at which place keras has each number of the flat vector, where a Flatten of
    turned axes has changed it.
    """

    def __init__(self, weights: list[Any] | None, input_shape: Sequence[Any] | None) -> None:
        self.weights = weights
        self.layers: list[Layer] = []
        self.shape = _items(input_shape)
        self.turned: bool | None = None
        self.order: np.ndarray | None = None

    def read(self, name: str, config: Mapping[str, Any]) -> None:
        """Add the layer equal to this one."""
        if name == "InputLayer":
            self.shape = _items(config.get("batch_shape") or config.get("batch_input_shape"))
            return
        if name not in READ:
            raise InvalidInput(f"there is no such layer; use one of {', '.join(sorted(READ))}, or leave it out")
        _only(config.get("data_format") in (None, "channels_last"), 'data_format "channels_last"')
        READ[name](self, config)

    def add(self, kind: str, /, **fields: Any) -> None:
        self.layers.append({"type": kind, **fields})

    def take(self, what: str) -> np.ndarray | None:
        """The next of the weights; None where there are none to be taken."""
        import numpy as np

        if self.weights is None:
            return None
        if not self.weights:
            raise InvalidInput(f"expected a {what} in weights, found no more; give all that get_weights() answers")
        return np.asarray(self.weights.pop(0))

    def ordered(self, values: np.ndarray) -> np.ndarray:
        """The values of each input, in the order in which the inputs come here."""
        return values if self.order is None else values[self.order]

    def turn(self) -> None:
        """Take items as channels first from here on, or say why they cannot be."""
        if self.turned is False:
            raise InvalidInput("it stands behind a layer that gives (steps, features), and here it reads (channels, length)")
        if self.turned is None and self.shape is not None:
            self.shape = (self.shape[-1], *self.shape[:-1])
        self.turned = True

    def slide(self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], padding: str, channels: int | None) -> None:
        """Let windows go over the axes of the shape."""
        if self.shape is None:
            return
        lengths = (
            ceil(length / step) if padding == "same" else (length - (places - 1) * apart - 1) // step + 1
            for length, places, step, apart in zip(self.shape[1:], kernel, stride, dilation, strict=True)
        )
        self.shape = (channels or self.shape[0], *lengths)


def _items(shape: Sequence[Any] | None) -> tuple[int, ...] | None:
    """The shape of an item, of that of a batch; None where a length is not known."""
    lengths = tuple(shape or (None,))[1:]
    return None if not lengths or None in lengths else lengths


def _only(is_so: bool, wanted: str) -> None:
    if not is_so:
        raise InvalidInput(f"expected {wanted}; nothing else is known here")


def _activation(config: Mapping[str, Any]) -> str:
    name = config.get("activation") or "linear"
    if name not in ACTIVATIONS:
        raise InvalidInput(f"there is no activation {name!r}; use one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _dense(reader: _Reader, config: Mapping[str, Any]) -> None:
    if reader.turned is not None and reader.order is None and reader.shape is not None and len(reader.shape) > 1:
        raise InvalidInput("expected vectors; put a Flatten in front of it")
    fields: dict[str, Any] = {"units": config["units"], "activation": _activation(config), "use_bias": config.get("use_bias", True)}
    if (kernel := reader.take("kernel")) is not None:
        fields["weight"] = reader.ordered(kernel).T.tolist()
        if fields["use_bias"]:
            fields["bias"] = _list(reader.take("bias"))
    reader.add("dense", **fields)
    reader.shape, reader.order = (config["units"],), None


def _list(values: np.ndarray | None) -> Any:
    return None if values is None else values.tolist()


def _convolution(reader: _Reader, config: Mapping[str, Any]) -> None:
    reader.turn()
    _only(config["padding"] in ("valid", "same"), 'padding "valid" or "same"')
    sizes = {
        ours: list(config[theirs])
        for ours, theirs in (("kernel_size", "kernel_size"), ("stride", "strides"), ("dilation", "dilation_rate"))
    }
    fields: dict[str, Any] = {
        "filters": config["filters"],
        **sizes,
        "padding": config["padding"],
        "groups": config.get("groups", 1),
        "activation": _activation(config),
        "use_bias": config.get("use_bias", True),
    }
    _only("softmax" not in fields["activation"], "an activation that takes each number by itself")
    if (kernel := reader.take("kernel")) is not None:
        fields["weight"] = kernel.transpose(-1, -2, *range(kernel.ndim - 2)).tolist()
        if fields["use_bias"]:
            fields["bias"] = _list(reader.take("bias"))
    reader.add(f"conv{len(sizes['kernel_size'])}d", **fields)
    reader.slide(sizes["kernel_size"], sizes["stride"], sizes["dilation"], config["padding"], config["filters"])


def _pool(kind: str) -> Callable[[_Reader, Mapping[str, Any]], None]:
    def read(reader: _Reader, config: Mapping[str, Any]) -> None:
        reader.turn()
        _only(config["padding"] in ("valid", "same"), 'padding "valid" or "same"')
        kernel, stride = list(config["pool_size"]), list(config["strides"])
        extra = {"count_include_pad": False} if kind == "average_pool" else {}
        reader.add(kind, kernel_size=kernel, stride=stride, padding=config["padding"], **extra)
        reader.slide(kernel, stride, [1] * len(kernel), config["padding"], None)

    return read


def _global_pool(kind: str) -> Callable[[_Reader, Mapping[str, Any]], None]:
    def read(reader: _Reader, config: Mapping[str, Any]) -> None:
        reader.turn()
        _only(not config.get("keepdims"), "keepdims=False")
        reader.add("global_pool", kind=kind)
        reader.shape = reader.shape and reader.shape[:1]

    return read


def _flatten(reader: _Reader, config: Mapping[str, Any]) -> None:
    import numpy as np

    reader.add("flatten")
    if reader.turned and reader.shape is None and reader.weights is not None:
        raise InvalidInput("the shape in front of it is not known; begin the model with a keras.Input, or build it")
    if reader.turned and reader.shape is not None and len(reader.shape) > 1:
        channels, *axes = reader.shape
        theirs = np.arange(int(np.prod(reader.shape))).reshape(*axes, channels)
        reader.order = np.moveaxis(theirs, -1, 0).ravel()
    reader.shape = None if reader.shape is None else (int(np.prod(reader.shape)),)


def _reshape(reader: _Reader, config: Mapping[str, Any]) -> None:
    shape = list(config["target_shape"])
    _only(reader.order is None and not (reader.turned and reader.shape and len(reader.shape) > 1), "a vector in front of it")
    if len(shape) == 3:
        _only(shape[-1] == 1, "one channel, (height, width, 1): of several, the numbers would lie otherwise")
        reader.turned, shape = True, [1, *shape[:-1]]
    reader.add("reshape", shape=shape)
    reader.shape = None if -1 in shape else tuple(shape)


def _batch_norm(reader: _Reader, config: Mapping[str, Any]) -> None:
    center, scale = config.get("center", True), config.get("scale", True)
    _only(center == scale, "center and scale alike")
    _only(config.get("axis", -1) in (-1, [-1], 3, [3], 1, [1]), "axis=-1")
    fields: dict[str, Any] = {"momentum": 1 - config["momentum"], "epsilon": config["epsilon"], "affine": center}
    names = [*(("weight", "bias") if center else ()), "running_mean", "running_var"]
    for name in names:
        if (values := reader.take(name)) is not None:
            fields[name] = reader.ordered(values).tolist()
    reader.add("batch_norm", **fields)


def _layer_norm(reader: _Reader, config: Mapping[str, Any]) -> None:
    center, scale = config.get("center", True), config.get("scale", True)
    _only(center == scale and not config.get("rms_scaling"), "center and scale alike, and rms_scaling=False")
    axis = config.get("axis", -1)
    _only((axis if isinstance(axis, int) else axis[0] if len(axis) == 1 else 0) in (-1, len(reader.shape or ())), "axis=-1")
    _only(not (reader.turned and reader.shape and len(reader.shape) > 1), "no channels in front of it: they are another axis here")
    fields: dict[str, Any] = {"axes": 1, "epsilon": config["epsilon"], "affine": center}
    for name in ("weight", "bias") if center else ():
        if (values := reader.take(name)) is not None:
            fields[name] = reader.ordered(values).tolist()
    reader.add("layer_norm", **fields)


def _embedding(reader: _Reader, config: Mapping[str, Any]) -> None:
    _only(not config.get("mask_zero"), "mask_zero=False")
    table = reader.take("table")
    given = {} if table is None else {"weight": table.tolist()}
    reader.add("embedding", vocabulary=config["input_dim"], dimensions=config["output_dim"], **given)
    reader.turned, reader.shape = False, reader.shape and (*reader.shape, config["output_dim"])


def _recurrence(kind: str, gates: Sequence[int]) -> Callable[[_Reader, Mapping[str, Any]], None]:
    """gates: at which place of keras's each of ours is."""

    def read(reader: _Reader, config: Mapping[str, Any]) -> None:
        import numpy as np

        if reader.turned:
            raise InvalidInput("it stands behind a layer that gives (channels, length), and reads (steps, features)")
        activations = ("tanh", "relu") if kind == "rnn" else ("tanh",)
        _only(config["activation"] in activations, f"activation {' or '.join(activations)}")
        _only(config.get("recurrent_activation", "sigmoid") == "sigmoid", "recurrent_activation sigmoid")
        _only(config.get("reset_after", True), "reset_after=True")
        _only(
            not any(config.get(name) for name in ("go_backwards", "return_state", "stateful")), "no go_backwards, return_state or stateful"
        )
        _only(not config.get("dropout") and not config.get("recurrent_dropout"), "no dropout within; put a Dropout behind it")
        _only(config.get("use_bias", True), "use_bias=True")
        units = config["units"]
        fields: dict[str, Any] = {"units": units, "output": "all" if config.get("return_sequences") else "last"}
        if kind == "rnn":
            fields["nonlinearity"] = config["activation"]
        if (kernel := reader.take("kernel")) is not None:
            recurrent, bias = reader.take("recurrent kernel"), reader.take("bias")
            assert recurrent is not None
            assert bias is not None
            order = np.concatenate([np.arange(units) + gate * units for gate in gates])
            both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
            fields["weight_ih"], fields["weight_hh"] = kernel.T[order].tolist(), recurrent.T[order].tolist()
            fields["bias_ih"], fields["bias_hh"] = both[0][order].tolist(), both[1][order].tolist()
        reader.add(kind, **fields)
        reader.turned = False
        reader.shape = (units,) if fields["output"] == "last" else reader.shape and (reader.shape[0], units)

    return read


def _bend(name: str, **wanted: Any) -> Callable[[_Reader, Mapping[str, Any]], None]:
    """An activation that is known with these settings alone."""

    def read(reader: _Reader, config: Mapping[str, Any]) -> None:
        for setting, value in wanted.items():
            _only(config.get(setting, value) == value, f"{setting}={value!r}")
        reader.add("activation", activation=name)

    return read


READ: dict[str, Callable[[_Reader, Mapping[str, Any]], None]] = {
    "Dense": _dense,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "MaxPooling1D": _pool("max_pool"),
    "MaxPooling2D": _pool("max_pool"),
    "AveragePooling1D": _pool("average_pool"),
    "AveragePooling2D": _pool("average_pool"),
    "GlobalMaxPooling1D": _global_pool("max"),
    "GlobalMaxPooling2D": _global_pool("max"),
    "GlobalAveragePooling1D": _global_pool("average"),
    "GlobalAveragePooling2D": _global_pool("average"),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Embedding": _embedding,
    "LSTM": _recurrence("lstm", (0, 1, 2, 3)),
    "GRU": _recurrence("gru", (1, 0, 2)),
    "SimpleRNN": _recurrence("rnn", (0,)),
    "Dropout": lambda reader, config: reader.add("dropout", rate=config["rate"]),
    "Activation": lambda reader, config: reader.add("activation", activation=_activation(config)),
    "ReLU": _bend("relu", max_value=None, negative_slope=0.0, threshold=0.0),
    "LeakyReLU": _bend("leaky_relu", negative_slope=0.01),
    "ELU": _bend("elu", alpha=1.0),
    "Softmax": _bend("softmax", axis=-1),
}
