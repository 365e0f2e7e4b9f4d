from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from nncore.optimizers import OptimizerSpec


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"type": "sgd"}, "learning_rate"),
        ({"type": "sgd", "learning_rate": 0.0}, "learning_rate"),
        ({"type": "sgd", "learning_rate": 1e7}, "learning_rate"),
        ({"type": "sgd", "learning_rate": 0.1, "momentum": 1.0}, "momentum"),
        ({"type": "sgd", "learning_rate": 0.1, "nesterov": True}, "nesterov"),
        ({"type": "adam", "epsilon": 0.0}, "epsilon"),
        ({"type": "adam", "beta2": 1.0}, "beta2"),
        ({"type": "adam", "epsilon_mode": "keras"}, "epsilon_mode"),
    ],
)
def test_a_hyper_parameter_outside_its_range_is_refused(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(OptimizerSpec).validate_python(spec)
    assert [error["loc"][-1] for error in refused.value.errors()] == [field]
