"""docs/training.md: the spec it shows is trained as it stands there, and its tables name every loss, optimizer and initialiser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from nncore.data import TrainingData
from nncore.initialisers import WeightInitialiser
from nncore.losses import LossSpec
from nncore.optimizers import OptimizerSpec
from nncore.schedules import ScheduleSpec
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table.json import read_columns
from nncore.trainer import Trainer

DOCUMENT = (Path(__file__).parents[2] / "docs/training.md").read_text()


def part(heading: str) -> str:
    return DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]


def told(heading: str) -> set[str]:
    """What stands as code in the first column of the tables of a part, fields in parentheses left out."""
    cells = re.findall(r"^\| ([^|]*) \|", part(heading), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", cell))}


def types_of(union: Any) -> set[str]:
    return {name for each in get_args(get_args(union)[0]) for name in get_args(each.model_fields["type"].annotation)}


@pytest.mark.parametrize(
    ("heading", "union"), [("What is made small", LossSpec), ("Steps", OptimizerSpec), ("Where the weights begin", WeightInitialiser)]
)
def test_the_tables_name_everything_there_is(heading: str, union: Any) -> None:
    assert told(heading) == types_of(union)


def test_every_schedule_is_named() -> None:
    assert types_of(ScheduleSpec) <= set(re.findall(r"\w+", part("The learning rate")))


def test_the_spec_that_is_shown_is_trained() -> None:
    (shown,) = re.findall(r"^```json training\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    random = np.random.default_rng(0)
    x = random.standard_normal((60, 4))
    table = read_columns({"x": x.tolist(), "y": np.digitize(x[:, 0] - x[:, 1], [-1, 1]).tolist()})
    asked = TrainingSpec.model_validate(json.loads(shown))
    spec = resolve(asked, table.info(), table.rows, Limits(), values=lambda name: table[name].values)
    reports = list(Trainer(spec, TrainingData.prepare(spec, table)).run())
    assert reports[-1].epoch_ended
    assert set(asked.metrics or []) == {*reports[-1].metrics, *reports[-1].tables}
