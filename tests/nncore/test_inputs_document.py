"""docs/inputs.md: what it shows is trained as it stands there, and no step is missing from its tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore.augment import AugmentSpec
from nncore.predictor import Predictor
from nncore.preprocess import PreprocessSpec
from nncore.trainer import Trainer
from tests.nncore.test_gradients import types_of

DOCUMENT = (Path(__file__).parents[2] / "docs/inputs.md").read_text()
RANDOM = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "plan": ["basic", "pro", "basic", "team"] * 3,
    "note": ["asked for a refund", "is happy", "called twice", "wants more seats"] * 3,
    "age": [30, 41, 52, 63] * 3,
    "spent": [0.5, 120.25, 3.0, 900.0] * 3,
    "rooms": [1, 2, 3, 2] * 3,
    "picture": RANDOM.integers(0, 256, (12, 1, 5, 6)).tolist(),
    "sound": RANDOM.normal(size=(12, 500)).round(4).tolist(),
    "y": [0, 1, 2, 1] * 3,
}


def shown(name: str) -> list[Any]:
    return [json.loads(block) for block in re.findall(rf"^```json {name}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)]


def trained(job: Any, inputs: list[str], **spec: Any) -> None:
    network = [{"type": "dense", "units": 4, "activation": "relu"}, {"type": "dense", "units": 3}]
    trainer = Trainer(*job(COLUMNS, inputs=inputs, target="y", network=network, epochs=2, seed=1, **spec))
    list(trainer.run())
    assert len(Predictor(trainer.artifact()).predict({name: COLUMNS[name][:2] for name in inputs}).outputs) == 2


@pytest.mark.parametrize("steps", shown("preprocess"), ids=str)
def test_the_steps_that_are_shown_are_trained(steps: list[dict[str, Any]], job: Any) -> None:
    trained(job, list(dict.fromkeys(name for step in steps for name in step["columns"])), preprocess=steps)


def test_the_augmentations_that_are_shown_are_trained(job: Any) -> None:
    (augment,) = shown("augment")
    trained(job, ["picture"], augment=augment)


def test_the_preprocessing_of_the_target_that_is_shown_is_trained(job: Any) -> None:
    (step,) = shown("preprocess_target")
    network = [{"type": "dense", "units": 1}]
    Trainer(*job(COLUMNS, inputs=["age"], target="spent", network=network, epochs=2, seed=1, preprocess_target=step))


@pytest.mark.parametrize(("heading", "union"), [("Preprocessing", PreprocessSpec), ("Augmentation", AugmentSpec)])
def test_the_tables_name_everything_there_is(heading: str, union: Any) -> None:
    part = DOCUMENT.split(f"## {heading}")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", part, re.MULTILINE)) == types_of(union)
