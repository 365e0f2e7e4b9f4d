"""A spec with a million faults is refused with a few, at once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import ValidationError

from nncore.errors import InvalidSpec
from nncore.faults import MAX_FAULTS
from nncore.spec import Limits, TrainingSpec, faults_of, resolve
from nncore.table import ColumnInfo

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


@pytest.mark.parametrize("field", ["inputs", "preprocess"])
def test_names_that_are_not_there_are_compared_with_those_that_are_until_the_answer_is_full(field: str) -> None:
    columns = [ColumnInfo(name=f"feature_{at}", dtype="float32", integral=False, minimum=0.0, maximum=1.0) for at in range(5_000)]
    names = [f"feature {at}" for at in range(20_000)]
    asked = {"inputs": names} if field == "inputs" else {"preprocess": [{"type": "standardize", "columns": names}]}
    spec = TrainingSpec.model_validate({"target": "feature_0", "network": {"layers": [{"type": "dense", "units": 1}]}, **asked})
    started = time.process_time()
    with pytest.raises(InvalidSpec) as caught:
        resolve(spec, columns, 10, Limits())
    assert len(caught.value.faults) == MAX_FAULTS
    assert time.process_time() - started < 3.0
