"""A spec with a million faults is refused with a few, at once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import ValidationError

from nncore.spec import TrainingSpec, faults_of

MANY = 1_000_000


@pytest.mark.parametrize(
    "layers",
    [
        [{"type": "dense", "units": 1, "weight": ["x"] * MANY}],
        [{"type": "dense", "units": 1, "weight": [["x"] * 1000] * 1000}],
        [{"type": "dense", "units": 1, "bias": ["x"] * MANY}],
        [{}] * MANY,
        [dict.fromkeys(map(str, range(MANY // 10)), 1)],
    ],
    ids=["rows", "numbers", "biases", "layers", "fields"],
)
def test_a_million_faults_are_refused_with_a_few_at_once(layers: list[Any]) -> None:
    started = time.perf_counter()
    with pytest.raises(ValidationError) as caught:
        TrainingSpec.model_validate({"target": "y", "network": {"layers": layers}})
    assert 1 <= len(caught.value.errors()) <= 3
    assert faults_of(caught.value)
    assert time.perf_counter() - started < 2.0
