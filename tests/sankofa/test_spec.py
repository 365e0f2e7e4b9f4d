"""Specs in files: JSON, YAML and TOML say the same, and what is wrong with them is told."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import click
import pytest

from sankofa.commands.spec import changed, read_spec

YAML = """
target: label          # a comment
network:
  layers:
    - {type: dense, units: 32, activation: relu}
    - {type: dense, units: 10}
optimizer: {type: adam, learning_rate: 1e-3}
validation: null
shuffle: true
name: no
tags: {version: 1.10.2, day: 2026-11-24}
"""
TOML = """
target = "label"
shuffle = true
[network]
layers = [{type = "dense", units = 32, activation = "relu"}]
[optimizer]
type = "adam"
learning_rate = 1e-3
"""


def test_yaml_means_what_a_reader_takes_it_for(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(YAML)
    assert read_spec(str(tmp_path / "spec.yaml")) == {
        "target": "label",
        "network": {"layers": [{"type": "dense", "units": 32, "activation": "relu"}, {"type": "dense", "units": 10}]},
        "optimizer": {"type": "adam", "learning_rate": 0.001},
        "validation": None,
        "shuffle": True,
        "name": "no",
        "tags": {"version": "1.10.2", "day": "2026-11-24"},
    }


def test_the_example_of_the_documentation_is_understood(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    (tmp_path / "spec.yaml").write_text(example)
    assert read_spec(str(tmp_path / "spec.yaml"))["optimizer"] == {"type": "adam", "learning_rate": 0.005}


def test_toml_and_json_are_read_by_their_endings(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(TOML)
    document = read_spec(str(tmp_path / "spec.toml"))
    assert document["optimizer"]["learning_rate"] == 0.001
    (tmp_path / "spec.json").write_text(json.dumps(document))
    assert read_spec(str(tmp_path / "spec.json")) == document


@pytest.mark.parametrize("text", ['{"epochs": 3}', "epochs: 3"])
def test_stdin_is_json_or_yaml(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert read_spec("-") == {"epochs": 3}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("spec.yaml", "a: [1", "is not YAML that could be JSON"),
        ("spec.yaml", "a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("spec.yaml", "&a [*a]", "is not YAML that could be JSON"),
        ("spec.yaml", "- 1", "expected an object with network, target"),
        ("spec.yaml", "", "expected an object"),
        ("spec.toml", "a = ", "is not TOML"),
        ("spec.json", "{", "is not JSON"),
        ("spec.json", "[]", "expected an object"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(click.UsageError) as refused:
        read_spec(str(tmp_path / name))
    assert told in str(refused.value)
    assert name in str(refused.value)


def test_a_file_that_is_not_there_is_told_with_files_of_like_names(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").touch()
    with pytest.raises(click.UsageError, match=r"digit\.yaml: there is no such file; did you mean .*digits\.yaml\?"):
        read_spec(str(tmp_path / "digit.yaml"))
    with pytest.raises(click.UsageError, match="expected a file, found a folder"):
        read_spec(str(tmp_path))
    with pytest.raises(click.UsageError, match="there is no folder"):
        read_spec(str(tmp_path / "nowhere" / "spec.yaml"))


def test_values_are_put_in_their_places_and_the_rest_stays() -> None:
    document = {"network": {"layers": [{"units": 1}, {"units": 2}]}, "epochs": 3}
    settings = ["network.layers.1.units=64", "optimizer.learning_rate=0.01", "target=label", 'metrics=["accuracy"]']
    assert changed(document, settings) == {
        "network": {"layers": [{"units": 1}, {"units": 64}]},
        "epochs": 3,
        "optimizer": {"learning_rate": 0.01},
        "target": "label",
        "metrics": ["accuracy"],
    }
    assert document["network"] == {"layers": [{"units": 1}, {"units": 2}]}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("epochs", "expected PLACE=VALUE"),
        ("=3", "expected PLACE=VALUE"),
        ("epochs.x=3", "epochs is 3, which holds nothing"),
        ("layers.2.units=3", "expected a number below 2, got '2'"),
        ("layers.first.units=3", "expected a number below 2, got 'first'"),
        ("layers.7=3", "expected a number below 2"),
    ],
)
def test_a_place_that_cannot_be_is_told(setting: str, told: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        changed({"epochs": 3, "layers": [{}, {}]}, [setting])
    assert told in str(refused.value)
