"""Balanced class weights are those of scikit-learn, counted over the rows that are trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from nncore.data import TrainingData
from nncore.losses import LossSpec, SoftmaxCrossEntropy
from nncore.losses.class_weights import balanced
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, faults_of, resolve
from nncore.table.json import read_columns

LABELS = np.random.default_rng(5).choice([0, 1, 2], 300, p=[0.7, 0.25, 0.05])
TABLE = read_columns({"x": [[float(label), 1.0] for label in LABELS], "y": LABELS.tolist(), "word": [f"w{label}" for label in LABELS]})


def resolved(target: str = "y", units: int = 3, loss: dict[str, Any] | None = None, **fields: Any) -> ResolvedSpec:
    asked = {"network": {"layers": [{"type": "dense", "units": units}]}, "inputs": ["x"], "target": target, **fields}
    asked["loss"] = {"type": "softmax_cross_entropy", "class_weights": "balanced", **(loss or {})}
    spec = TrainingSpec.model_validate(asked)
    return resolve(spec, TABLE.info(), TABLE.rows, Limits(), values=lambda name: TABLE[name].values)


def weights_of(spec: ResolvedSpec) -> list[float]:
    assert isinstance(spec.loss, SoftmaxCrossEntropy)
    assert isinstance(spec.loss.class_weights, list)
    return spec.loss.class_weights


def of_sklearn(labels: np.ndarray) -> list[float]:
    class_weight = pytest.importorskip("sklearn.utils.class_weight", reason="no scikit-learn")
    return class_weight.compute_class_weight("balanced", classes=np.unique(labels), y=labels).tolist()


@pytest.mark.oracle
@pytest.mark.parametrize("fields", [{}, {"validation": {"fraction": 0.4, "stratified": False}}, {"validation": {}}, {"target": "word"}])
def test_balanced_weights_are_those_of_sklearn_over_the_training_rows(fields: dict[str, Any]) -> None:
    spec = resolved(**fields, seed=11)
    rows = TrainingData.prepare(spec, TABLE).training_rows
    assert weights_of(spec) == pytest.approx(of_sklearn(LABELS[rows]), rel=1e-12)


@pytest.mark.oracle
def test_an_ignored_label_is_not_counted() -> None:
    weights = weights_of(resolved(loss={"ignore_index": 0}))
    assert weights[0] == 0
    assert weights[1:] == pytest.approx(of_sklearn(LABELS[LABELS > 0]), rel=1e-12)


def test_a_class_without_rows_gets_no_weight_and_takes_none_from_others() -> None:
    assert balanced(np.array([0, 0, 0, 2]), 4) == pytest.approx([4 / 6, 0, 4 / 2, 0])
    assert balanced(np.array([-1, 0, 9]), 2) == [1.0, 0.0]


def test_the_resolved_spec_holds_numbers_and_survives_the_database() -> None:
    spec = resolved(seed=3)
    assert ResolvedSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balance", 'class_weights: expected "balanced", got "balance"'),
        (["x", 1], 'class_weights[0]: expected a number, got "x"'),
        ([0, 0], "every class has the weight 0, so there is nothing to learn; raise one"),
        (3, "class_weights: expected a list, got 3"),
    ],
)
def test_other_weights_are_refused_with_one_fault(weights: Any, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(LossSpec).validate_python({"type": "softmax_cross_entropy", "class_weights": weights})
    assert [fault.message for fault in faults_of(refused.value, model=LossSpec)] == [message]
