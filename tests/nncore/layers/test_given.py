"""Parameters that are given in a spec, or drawn by an initialiser, in every layer that has some."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.errors import InvalidSpec
from nncore.layers import LayerSpec
from nncore.layers.layer import DRAWING
from nncore.network import NetworkSpec
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table.json import read_columns

# A layer of each type with parameters, and items it takes.
LAYERS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "dense": ({"units": 2}, (3,)),
    "conv1d": ({"filters": 2, "kernel_size": 2}, (3, 4)),
    "conv2d": ({"filters": 4, "kernel_size": [1, 2], "groups": 2}, (2, 3, 4)),
    "lstm": ({"units": 2}, (3, 2)),
    "gru": ({"units": 2, "bidirectional": True}, (3, 2)),
    "rnn": ({"units": 2, "bidirectional": True}, (3, 2)),
    "layer_norm": ({}, (3,)),
    "batch_norm": ({}, (2, 3)),
    "embedding": ({"vocabulary": 4, "dimensions": 2}, (3,)),
}


def built(name: str, **more: Any) -> tuple[NetworkSpec, tuple[int, ...]]:
    fields, shape = LAYERS[name]
    return NetworkSpec.model_validate({"layers": [{"type": name, **fields, **more}, {"type": "flatten"}]}), shape


def given(name: str) -> dict[str, Any]:
    """Every parameter of the layer as nested lists, no two numbers equal; of two directions as a list of two."""
    network, shape = built(name)
    at, fields = 0, {}
    for info in network.parameters(shape):
        values = at + 1 + np.arange(np.prod(info.shape)).reshape(info.shape)
        at, field = at + values.size, info.name.removeprefix("0.").replace("_l0", "")
        if field.endswith("_reverse"):
            fields[field.removesuffix("_reverse")] = [fields[field.removesuffix("_reverse")], values.tolist()]
        else:
            fields[field] = values.tolist()
    return fields


def test_every_layer_with_parameters_is_here() -> None:
    specs = {spec.model_fields["type"].default: spec for spec in get_args(get_args(LayerSpec)[0])}
    assert {name for name, spec in specs.items() if spec.given_names} == set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_given_parameters_are_where_training_starts(name: str, one_step: Any) -> None:
    network, shape = built(name, **given(name))
    step = one_step([layer.model_dump() for layer in network.layers], "mean_squared_error", input_shape=shape)
    assert step.machine.learned.tolist() == list(range(1, step.machine.learned.size + 1))


@pytest.mark.parametrize("name", LAYERS)
def test_given_parameters_can_be_taken_out(name: str) -> None:
    assert built(name, **given(name))[0].without_parameters() == built(name)[0]


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in LAYERS if name != "dense" for field in given(name)])
def test_another_shape_is_refused_where_it_stands(name: str, field: str) -> None:
    network, shape = built(name, **{field: [1.0] * 7})
    with pytest.raises(InvalidSpec) as refused:
        network.parameters(shape)
    assert [fault.pointer for fault in refused.value.faults] == [f"/layers/0/{field}"]


DRAWN = [(name, by) for name, spec in ((name, TypeAdapter(LayerSpec).validate_python({"type": name, **LAYERS[name][0]})) for name in LAYERS)
         for by in DRAWING if hasattr(spec, by)]  # fmt: skip


@pytest.mark.parametrize(("name", "by"), DRAWN)
def test_initialisers_draw_what_they_are_for(name: str, by: str, one_step: Any) -> None:
    network, shape = built(name, **{by: {"type": "constant", "value": 0.25}})
    step = one_step([layer.model_dump() for layer in network.layers], "mean_squared_error", input_shape=shape)
    drawn = {info.name for info in network.parameters(shape) if (step.machine.learned[place(network, shape, info.name)] == 0.25).all()}
    part = {"initialiser": ("weight", "weight_ih"), "recurrent_initialiser": ("weight_hh",), "bias_initialiser": ("bias",)}[by]
    names = [info.name for info in network.parameters(shape)]
    if by == "bias_initialiser":
        assert drawn == {each for each in names if "bias" in each}
    else:
        assert drawn == {each for each in names if each.removeprefix("0.").split("_l0")[0] in part}


def place(network: NetworkSpec, shape: tuple[int, ...], name: str) -> slice:
    at = 0
    for info in network.parameters(shape):
        size = int(np.prod(info.shape))
        if info.name == name:
            return slice(at, at + size)
        at += size
    raise KeyError(name)


@pytest.mark.parametrize("name", ["conv1d", "lstm", "embedding"])
def test_what_is_given_is_not_drawn_too(name: str) -> None:
    field = "weight_ih" if name == "lstm" else "weight"
    network, shape = built(name, **{field: given(name)[field]}, initialiser={"type": "zeros"})
    with pytest.raises(InvalidSpec, match="is given, so nothing is drawn for it"):
        network.parameters(shape)


@pytest.mark.parametrize("more", [{"bias": [1.0, 1.0]}, {"bias_initialiser": {"type": "zeros"}}])
def test_a_bias_that_is_not_there_is_neither_given_nor_drawn(more: dict[str, Any]) -> None:
    network, shape = built("conv1d", use_bias=False, **more)
    with pytest.raises(InvalidSpec, match="this conv1d layer has no bias"):
        network.parameters(shape)


def test_given_parameters_of_any_layer_must_fit_into_the_dtype() -> None:
    weight = np.full((2, 1, 2), 1e39).tolist()
    layers = [
        {"type": "reshape", "shape": [1, 2]},
        {"type": "conv1d", "filters": 2, "kernel_size": 2, "weight": weight},
        {"type": "flatten"},
    ]
    table = read_columns({"x": [[0.0, 1.0], [1.0, 0.0]], "y": [0, 1]})
    spec = TrainingSpec.model_validate({"network": {"layers": [*layers, {"type": "dense", "units": 2}]}, "target": "y"})
    with pytest.raises(InvalidSpec) as refused:
        resolve(spec, table.info(), table.rows, Limits())
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/network/layers/1/weight", "too_large_number")]
