"""docs/layers.md: what it shows is trained as it stands there, what it says of it is so, and no layer or activation is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from nncore.activations import ACTIVATION_CODES, STEP, ActivationName, activate, bend
from nncore.layers import LayerSpec
from nncore.layers.layer import Layer
from nncore.network import NetworkSpec
from nncore.trainer import Trainer
from tests.nncore.test_gradients import types_of

DOCUMENT = (Path(__file__).parents[2] / "docs/layers.md").read_text()
PARTS = dict(part.split("\n", 1) for part in re.split("^##+ ", DOCUMENT, flags=re.MULTILINE)[1:])
SHOWN = re.findall(r"^```json layers (\[[^\n]*\])\n(.*?)^```\n\n(.*?)\n\n", DOCUMENT, re.MULTILINE | re.DOTALL)
WHOLE = re.findall(r"^```json training\n(.*?)^```$", PARTS["Whole networks"], re.MULTILINE | re.DOTALL)
LAYERS: dict[str, type[Layer]] = {layer.model_fields["type"].default: layer for layer in get_args(get_args(LayerSpec)[0])}
RANDOM = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "age": RANDOM.integers(18, 80, 40).tolist(),
    "spent": RANDOM.uniform(0, 900, 40).round(2).tolist(),
    "plan": ["basic", "pro", "basic", "team"] * 10,
    "left": [0, 1, 0, 0] * 10,
    "picture": RANDOM.integers(0, 256, (40, 1, 28, 28)).tolist(),
    "signal": RANDOM.normal(size=(40, 40, 3)).round(3).tolist(),
    "tokens": RANDOM.integers(0, 1000, (40, 12)).tolist(),
    "kind": [*range(10)] * 4,
}


@pytest.mark.parametrize(("shape", "network", "told"), SHOWN)
def test_the_networks_that_are_shown_are_trained(shape: str, network: str, told: str, job: Any) -> None:
    layers = json.loads(network)["layers"]
    size, (outputs,) = (8, *json.loads(shape)), NetworkSpec(layers=layers).output_shape(json.loads(shape))
    inputs = RANDOM.integers(0, layers[0].get("vocabulary", 2), size) if layers[0]["type"] == "embedding" else RANDOM.normal(size=size)
    columns = {"x": inputs.tolist(), "y": RANDOM.normal(size=(8, outputs)).tolist()}
    trainer = Trainer(*job(columns, target="y", network=layers, epochs=1, seed=1, loss={"type": "mean_squared_error"}))
    before = trainer.artifact("last").parameters
    (report,) = trainer.run()
    assert report.step == 1
    after = trainer.artifact("last").parameters
    assert all(np.any(before[name] != after[name]) for name in before if "running" not in name)


@pytest.mark.parametrize(("shape", "network", "told"), SHOWN)
def test_the_shapes_and_parameters_that_are_told_are_its_own(shape: str, network: str, told: str) -> None:
    spec, item = NetworkSpec.model_validate_json(network), json.loads(shape)
    shapes = " → ".join(f"`{list(each)}`" for each in spec.shapes(item))
    parameters = ", ".join(f"`{each.name}` {list(each.shape)}" for each in spec.parameters(item))
    assert " ".join(told.split()) == f"{shapes}: {parameters}."


@pytest.mark.parametrize("name", sorted(types_of(LayerSpec)))
def test_every_layer_has_a_part_with_its_fields_and_a_network_that_has_it(name: str) -> None:
    part = PARTS[name]
    fields = part.split("Fields: ")[1].split(".\n")[0]
    told = {field: json.loads(default) if default else ... for field, default in re.findall(r"`(\w+)(?: = ([^`]+))?`", fields)}
    model = {field: ... if info.is_required() else info.default for field, info in LAYERS[name].model_fields.items() if field != "type"}
    assert told == model
    networks = [NetworkSpec.model_validate_json(body) for body in re.findall(r"^```json layers [^\n]*\n(.*?)^```$", part, re.M | re.S)]
    assert networks
    assert all(any(isinstance(layer, LAYERS[name]) for _, layer in network.every_layer()) for network in networks)
    assert f"(#{name})" in DOCUMENT  # in the table of all


def test_every_activation_stands_in_the_table_with_its_numbers() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\S+) \| (\S+) \|$", PARTS["Activations"], re.MULTILINE)
    assert {name for name, *_ in rows} == set(get_args(ActivationName))
    for name, *told in rows:
        x, code = np.array([[-1.0, 1.0]]), ACTIVATION_CODES[name]
        y = x.copy()
        if code > STEP:
            bend(code, x[0], y[0])
        else:
            activate(code, y)
        np.testing.assert_allclose(y[0], np.array(told, float), atol=5.1e-5, err_msg=name)


@pytest.mark.parametrize("spec", [json.loads(spec) for spec in WHOLE], ids=lambda spec: ",".join(spec["inputs"]))
def test_the_whole_networks_are_trained(spec: dict[str, Any], job: Any) -> None:
    reports = list(Trainer(*job(COLUMNS, **spec | {"epochs": 2})).run())
    assert reports[-1].epoch_ended


def test_there_is_a_whole_network_for_tables_pictures_sequences_and_tokens() -> None:
    first = {json.loads(spec)["network"]["layers"][0]["type"] for spec in WHOLE}
    assert first == {"dense", "conv2d", "gru", "embedding"}
