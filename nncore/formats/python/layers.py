"""Each layer as lines of a script. `RULES` names the rule of every type of layer; a test fails for one that has none.

A rule is given the script under construction, the layer and the shape of an item that comes in. Its lines turn the array x, (rows, *shape),
into what comes out. It takes the layer's parameters in the order in which its `lower` asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nncore.activations import ActivationName
from nncore.formats.python.script import Script
from nncore.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalPool,
    LayerNorm,
    MaxPool,
    MeanOverSequence,
    Parallel,
    Reshape,
    Residual,
)
from nncore.layers.convolution import Convolution
from nncore.layers.layer import Layer, Shape, shapes_through
from nncore.layers.recurrence import Recurrent
from nncore.layers.windows import Axis

Rule = Callable[[Script, Any, Shape], None]


def through(script: Script, layers: Sequence[Layer], shape: Shape) -> None:
    """One layer after the other."""
    for layer, comes_in in zip(layers, shapes_through(layers, shape), strict=False):
        before = script.mask
        RULES[layer.type](script, layer, comes_in)  # type: ignore[attr-defined]
        if not isinstance(layer, Embedding):
            script.mask = before if _keeps_the_steps(layer) else None


def _keeps_the_steps(layer: Layer) -> bool:
    """Whether what is padding in a sequence is still padding behind the layer."""
    return isinstance(layer, Activation | Dropout | LayerNorm | Residual) or (isinstance(layer, Recurrent) and layer.output == "all")


def dense(script: Script, layer: Dense, shape: Shape) -> None:
    arguments = [script.take("weight")] + ([script.take("bias")] if layer.use_bias else [])
    script.line(f"x = dense(x, {', '.join(arguments)})", (layer.units,))
    _activated(script, layer.activation)


def activation(script: Script, layer: Activation, shape: Shape) -> None:
    _activated(script, layer.activation)


def _activated(script: Script, activation: ActivationName) -> None:
    if activation != "linear":
        script.line(f"x = {activation}(x)")


def dropout(script: Script, layer: Dropout, shape: Shape) -> None:
    """It does something only while training."""


def flatten(script: Script, layer: Flatten, shape: Shape) -> None:
    script.line("x = x.reshape(len(x), -1)", layer.output_shape(shape))


def reshape(script: Script, layer: Reshape, shape: Shape) -> None:
    after = layer.output_shape(shape)
    script.line(f"x = x.reshape(len(x), {', '.join(map(str, after))})", after)


def embedding(script: Script, layer: Embedding, shape: Shape) -> None:
    if layer.padding_index is not None:
        script.mask = script.keep("counts", f"x != {layer.padding_index}")
    script.line(f"x = {script.take('weight')}[x.astype(int)]", layer.output_shape(shape))


def mean_over_sequence(script: Script, layer: MeanOverSequence, shape: Shape) -> None:
    script.line("x = x.mean(axis=1)" if script.mask is None else f"x = masked_mean(x, {script.mask})", layer.output_shape(shape))


def residual(script: Script, layer: Residual, shape: Shape) -> None:
    kept = script.keep("shortcut", "x")
    through(script, layer.layers, shape)
    script.line(f"x = {kept} + x", shape)


def parallel(script: Script, layer: Parallel, shape: Shape) -> None:
    kept, answers, after = script.keep("given", "x"), [], layer.output_shape(shape)
    for branch in layer.branches:
        script.line(f"x = {kept}", shape)
        mask = script.mask
        through(script, branch, shape)
        script.mask = mask
        answers.append(script.keep("branch", "x"))
    merged = " + ".join(answers) if layer.merge == "add" else f"np.concatenate([{', '.join(answers)}], axis={layer.axis % len(after) + 1})"
    script.line(f"x = {merged}", after)


def convolution(script: Script, layer: Convolution, shape: Shape) -> None:
    axes, weight = layer._axes(shape), script.take("weight")
    bias = script.take("bias") if layer.use_bias else "None"
    script.line(f"x = convolution(x, {weight}, {bias}, {_slides(axes)}, groups={layer.groups})", layer.output_shape(shape))
    _activated(script, layer.activation)


def max_pool(script: Script, layer: MaxPool, shape: Shape) -> None:
    axes = layer._axes(shape)
    script.line(f"x = max_pool(x, kernel={_each(axes, 'kernel')}, {_slides(axes)})", layer.output_shape(shape))


def average_pool(script: Script, layer: AveragePool, shape: Shape) -> None:
    axes = layer._axes(shape)
    arguments = f"kernel={_each(axes, 'kernel')}, {_slides(axes)}, count_include_pad={layer.count_include_pad}"
    script.line(f"x = average_pool(x, {arguments})", layer.output_shape(shape))


def _slides(axes: Sequence[Axis]) -> str:
    pads = tuple((axis.before, axis.after) for axis in axes)
    return f"strides={_each(axes, 'stride')}, pads={pads}, dilations={_each(axes, 'dilation')}"


def _each(axes: Sequence[Axis], field: str) -> str:
    return str(tuple(getattr(axis, field) for axis in axes))


def global_pool(script: Script, layer: GlobalPool, shape: Shape) -> None:
    axes, method = tuple(range(2, 1 + len(shape))), {"max": "max", "average": "mean"}[layer.kind]
    script.line(f"x = x.{method}(axis={axes})", layer.output_shape(shape))


def recurrence(script: Script, layer: Recurrent, shape: Shape) -> None:
    name = type(layer).__name__.lower()
    bend = f", {layer.nonlinearity}" if layer.type == "rnn" else ""  # type: ignore[attr-defined]
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def states(x: str, suffix: str) -> str:
        return f"{name}({x}, {', '.join(script.take(part + suffix) for part in parts)}{bend})"

    after, every = layer.output_shape(shape), layer.output == "all"
    if not layer.bidirectional:
        script.line(f"x = {states('x', '_l0')}{'' if every else '[:, -1]'}", after)
        return
    forwards = script.keep("forwards", states("x", "_l0"))
    backwards = script.keep("backwards", states("x[:, ::-1]", "_l0_reverse"))  # from the last step to the first
    both = f"{forwards}, {backwards}[:, ::-1]" if every else f"{forwards}[:, -1], {backwards}[:, -1]"
    script.line(f"x = np.concatenate([{both}], axis=-1)", after)


def batch_norm(script: Script, layer: BatchNorm, shape: Shape) -> None:
    affine = _affine(script, layer)
    statistics = f"{script.take('running_mean')}, {script.take('running_var')}"
    script.line(f"x = batch_norm(x, {statistics}, epsilon={layer.epsilon!r}{affine})")


def layer_norm(script: Script, layer: LayerNorm, shape: Shape) -> None:
    axes = tuple(range(-layer.axes, 0))
    script.line(f"x = layer_norm(x, axes={axes}, epsilon={layer.epsilon!r}{_affine(script, layer)})")


def _affine(script: Script, layer: BatchNorm | LayerNorm) -> str:
    return f", weight={script.take('weight')}, bias={script.take('bias')}" if layer.affine else ""


RULES: dict[str, Rule] = {
    "dense": dense,
    "activation": activation,
    "dropout": dropout,
    "flatten": flatten,
    "reshape": reshape,
    "residual": residual,
    "parallel": parallel,
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
}
