"""Class weights of binary_cross_entropy: torch as the oracle, counted over the training rows, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, resolve
from nncore.table.json import read_columns

LAYERS = [{"type": "dense", "units": 5, "activation": "tanh"}, {"type": "dense", "units": 3}]
WEIGHTS = [0.5, 3.0]


@pytest.mark.oracle
def test_loss_and_gradient_equal_those_of_torch(one_step: Any, torch_network: Any) -> None:
    import torch

    step = one_step(LAYERS, {"type": "binary_cross_entropy", "class_weights": WEIGHTS}, rows=7)
    model, targets = torch_network(step.network, (4,), step.parameters), torch.tensor(step.targets)
    counted = WEIGHTS[0] + (WEIGHTS[1] - WEIGHTS[0]) * targets
    logits = model(torch.tensor(step.inputs))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, weight=counted, reduction="sum") / counted.sum()
    expected.backward()
    gradient = torch.cat([parameter.grad.ravel() for parameter in model.parameters()]).numpy()
    assert step.loss() == pytest.approx(expected.item(), rel=1e-13)
    assert step.evaluated()[0] == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(step.gradient(), gradient, atol=1e-14, rtol=1e-10)


def test_equal_weights_change_nothing(one_step: Any) -> None:
    plain, equal = (one_step(LAYERS, {"type": "binary_cross_entropy", **more}) for more in ({}, {"class_weights": [2.0, 2.0]}))
    assert equal.loss() == pytest.approx(plain.loss(), rel=1e-14)
    np.testing.assert_allclose(equal.gradient(), plain.gradient(), rtol=1e-12, atol=1e-16)


def resolved(y: list[Any], weights: Any, **more: Any) -> ResolvedSpec:
    table = read_columns({"x": [[1.0, 2.0]] * len(y), "y": y})
    loss = {"type": "binary_cross_entropy", "class_weights": weights}
    asked = {"target": "y", "network": {"layers": [{"type": "dense", "units": 1}]}, "loss": loss, "seed": 1, **more}
    return resolve(TrainingSpec.model_validate(asked), table.info(), table.rows, Limits(), values=lambda name: table[name].values)


@pytest.mark.parametrize("y", [[0] * 9 + [1] * 3, ["no"] * 9 + ["yes"] * 3])
def test_balanced_weights_are_counted_over_the_training_rows(y: list[Any]) -> None:
    assert resolved(y, "balanced").loss.class_weights == pytest.approx([12 / 18, 2.0])  # type: ignore[union-attr]
    held_out = resolved(y, "balanced", validation={"fraction": 1 / 3}).loss.class_weights  # type: ignore[union-attr]
    assert held_out == pytest.approx([8 / 12, 2.0])  # six and two are left


@pytest.mark.parametrize(
    ("y", "weights", "says"),
    [
        ([0, 1, 1], [1.0, 2.0, 3.0], "two numbers, of 0 and of 1, got 3"),
        ([0.5, 1, 0], "balanced", "counted over answers of 0 and 1"),
        ([0, 1, 1], "balanced", "mixed under class_weights"),
    ],
)
def test_what_cannot_be_weighed_is_refused(y: list[Any], weights: Any, says: str) -> None:
    more = {"augment": [{"type": "mixup"}]} if says.startswith("mixed") else {}
    with pytest.raises(InvalidSpec, match=says) as refused:
        resolved(y, weights, **more)
    assert len(refused.value.faults) == 1
