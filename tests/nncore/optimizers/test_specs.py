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
        ({"type": "adagrad", "initial_sum": -1.0}, "initial_sum"),
        ({"type": "rmsprop", "alpha": 1.0}, "alpha"),
        ({"type": "rmsprop", "momentum": 1.0}, "momentum"),
        ({"type": "lion", "beta1": -0.1}, "beta1"),
        ({"type": "adamw", "weight_decay": -1.0}, "weight_decay"),
        ({"type": "adamw", "learning_rate": 0.1, "weight_decay": 11.0}, "weight_decay"),
        ({"type": "adam", "l1": -1.0}, "l1"),
        ({"type": "adam", "l2": float("inf")}, "l2"),
        ({"type": "adam", "clip_norm": 0.0}, "clip_norm"),
        ({"type": "adam", "clip_norm": 1.0, "clip_value": 1.0}, "clip_value"),
        ({"type": "lbfgs", "history": 0}, "history"),
        ({"type": "lbfgs", "evaluations": 0}, "evaluations"),
        ({"type": "lbfgs", "gradient_tolerance": -1.0}, "gradient_tolerance"),
        ({"type": "adam", "average_decay": 1.0}, "average_decay"),
        ({"type": "adam", "average_decay": -0.5}, "average_decay"),
        ({"type": "adam", "maximize": 1}, "maximize"),
        ({"type": "adam", "schedule": {"type": "step"}}, "every_steps"),
        ({"type": "adam", "schedule": {"type": "step", "every_steps": 0}}, "every_steps"),
        ({"type": "adam", "schedule": {"type": "exponential", "factor": 1.5}}, "factor"),
        ({"type": "adam", "schedule": {"type": "cosine", "final": 2.0}}, "final"),
        ({"type": "adam", "schedule": {"type": "one_cycle", "rising": 1.0}}, "rising"),
        ({"type": "adam", "schedule": {"type": "constant", "warmup_steps": -1}}, "warmup_steps"),
        ({"type": "adam", "schedule": {"type": "reduce_on_plateau", "factor": 1.0}}, "factor"),
        ({"type": "adam", "schedule": {"type": "reduce_on_plateau", "patience": -1}}, "patience"),
        ({"type": "adam", "schedule": {"type": "reduce_on_plateau", "threshold": -0.1}}, "threshold"),
        ({"type": "adam", "schedule": {"type": "reduce_on_plateau", "threshold_mode": "rel"}}, "threshold_mode"),
    ],
)
def test_a_hyper_parameter_outside_its_range_is_refused(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(OptimizerSpec).validate_python(spec)
    assert [error["loc"][-1] for error in refused.value.errors()] == [field]
