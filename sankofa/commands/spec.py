"""Specs of jobs as people write them into files: JSON, YAML or TOML."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sankofa.commands.options import missing_file, read_json

YAML, TOML = (".yaml", ".yml"), (".toml",)


def read_spec(path: str) -> dict[str, Any]:
    """The document in a file, by its ending; - reads stdin as JSON or YAML. Raises click.UsageError naming what is wrong, and where."""
    if path != "-" and not Path(path).is_file():
        raise click.UsageError(missing_file(Path(path)))
    try:
        with click.open_file(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    ending = Path(path).suffix
    if ending in TOML:
        try:
            document: Any = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise click.UsageError(f"{path} is not TOML: {error}") from error
    elif ending in YAML or (path == "-" and not text.lstrip().startswith("{")):
        document = _read_yaml(text, path)
    else:
        document = read_json(text, path)
    if not isinstance(document, dict):
        raise click.UsageError(f"{path}: expected an object with network, target, ...; got {type(document).__name__}")
    return document


def changed(document: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The document with values put in their places: `optimizer.learning_rate=0.01`, `network.layers.0.units=64`.

    A value is JSON, or else text. Raises click.UsageError for a place that cannot be.
    """
    document = json.loads(json.dumps(document))
    for setting in settings:
        place, equals, text = setting.partition("=")
        if not (place and equals):
            raise click.UsageError(f"--set: expected PLACE=VALUE, as optimizer.learning_rate=0.01; got {setting!r}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        *way, last = place.split(".")
        into: Any = document
        for number, name in enumerate(way):
            into = into.setdefault(name, {}) if isinstance(into, dict) else _element(into, name, place)
            if not isinstance(into, dict | list):
                raise click.UsageError(f"--set {place}: {'.'.join(way[: number + 1])} is {json.dumps(into)}, which holds nothing")
        if isinstance(into, dict):
            into[last] = value
        else:
            _element(into, last, place)
            into[int(last)] = value
    return document


def _element(values: list[Any], name: str, place: str) -> Any:
    if not name.isdecimal() or int(name) >= len(values):
        raise click.UsageError(f"--set {place}: expected a number below {len(values)}, got {name!r}")
    return values[int(name)]


def _read_yaml(text: str, path: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.2's rules: 1e-3 is a number, and no is a word."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    for tag, pattern, first in (
        ("null", r"null|~|", ["n", "~", ""]),
        ("bool", r"true|false", list("tf")),
        ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
        ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
        ("merge", r"<<", ["<"]),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), first)
    try:
        document = yaml.load(text, Loader)
        json.dumps(document, allow_nan=False)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise click.UsageError(f"{path} is not YAML that could be JSON: {error}") from error
    return document
