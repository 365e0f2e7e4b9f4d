"""Every metric against scikit-learn, by hand where it has none, and where it may be asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from nncore import checkpoint
from nncore.errors import InvalidSpec
from nncore.metrics import METRICS, TABLES, MetricName, TableName
from nncore.metrics.confusion import confusion_matrix, scores
from nncore.trainer import Trainer

RANDOM = np.random.default_rng(5)
LOGITS, LABELS = RANDOM.normal(size=(300, 4)), RANDOM.integers(0, 4, 300)
LOGITS[np.arange(300), LABELS] += 0.8
LOGITS[:20] = LOGITS[:20].round()  # equal ones
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
YES_LOGITS = RANDOM.normal(size=(300, 1)).round(1)
YES = (RANDOM.random((300, 1)) < 1 / (1 + np.exp(-2 * YES_LOGITS))).astype(float)
OUTPUTS = RANDOM.normal(size=(300, 2))
TARGETS = OUTPUTS * [2, 1] + RANDOM.normal(size=(300, 2))

# What scikit-learn says, given its module `metrics`: of classes, of yes or no, of numbers.
CLASSES: dict[MetricName, Callable[[Any], float]] = {
    "accuracy": lambda m: m.accuracy_score(LABELS, LOGITS.argmax(1)),
    "top_2_accuracy": lambda m: m.top_k_accuracy_score(LABELS[20:], LOGITS[20:], k=2),
    "top_3_accuracy": lambda m: m.top_k_accuracy_score(LABELS[20:], LOGITS[20:], k=3),
    "precision_micro": lambda m: m.precision_score(LABELS, LOGITS.argmax(1), average="micro"),
    "precision_macro": lambda m: m.precision_score(LABELS, LOGITS.argmax(1), average="macro"),
    "recall_micro": lambda m: m.recall_score(LABELS, LOGITS.argmax(1), average="micro"),
    "recall_macro": lambda m: m.recall_score(LABELS, LOGITS.argmax(1), average="macro"),
    "f1_micro": lambda m: m.f1_score(LABELS, LOGITS.argmax(1), average="micro"),
    "f1_macro": lambda m: m.f1_score(LABELS, LOGITS.argmax(1), average="macro"),
    "roc_auc": lambda m: m.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr"),
    "log_loss": lambda m: m.log_loss(LABELS, PROBABILITIES),
}
YES_OR_NO: dict[MetricName, Callable[[Any], float]] = {
    "accuracy": lambda m: m.accuracy_score(YES, YES_LOGITS > 0),
    "precision_macro": lambda m: m.precision_score(YES, YES_LOGITS > 0),
    "recall_micro": lambda m: m.recall_score(YES, YES_LOGITS > 0),
    "f1_macro": lambda m: m.f1_score(YES, YES_LOGITS > 0),
    "roc_auc": lambda m: m.roc_auc_score(YES, YES_LOGITS),
    "log_loss": lambda m: m.log_loss(YES, 1 / (1 + np.exp(-YES_LOGITS[:, 0]))),
}
NUMBERS: dict[MetricName, Callable[[Any], float]] = {
    "mean_absolute_error": lambda m: m.mean_absolute_error(TARGETS, OUTPUTS),
    "root_mean_squared_error": lambda m: m.mean_squared_error(TARGETS, OUTPUTS) ** 0.5,
    "r2": lambda m: m.r2_score(TARGETS, OUTPUTS),
}
BY_HAND = {"calibration_error", "top_5_accuracy", "top_10_accuracy"}


def test_every_metric_is_compared_with_something() -> None:
    assert set(TABLES) == set(get_args(TableName)) == {"confusion_matrix", "per_class"}
    assert set(METRICS) == set(get_args(MetricName)) == CLASSES.keys() | NUMBERS.keys() | BY_HAND


@pytest.mark.oracle
@pytest.mark.parametrize("name", CLASSES)
def test_of_classes_it_is_what_scikit_learn_says(name: MetricName) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="no scikit-learn")
    rows = slice(20 if name.startswith("top") else 0, None)  # scikit-learn breaks ties the other way
    assert METRICS[name].compute(LOGITS[rows], LABELS[rows]) == pytest.approx(CLASSES[name](sklearn), rel=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("name", YES_OR_NO)
def test_of_yes_and_no_it_is_what_scikit_learn_says(name: MetricName) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="no scikit-learn")
    assert METRICS[name].compute(YES_LOGITS, YES) == pytest.approx(YES_OR_NO[name](sklearn), rel=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("name", NUMBERS)
def test_of_numbers_it_is_what_scikit_learn_says(name: MetricName) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="no scikit-learn")
    assert METRICS[name].compute(OUTPUTS, TARGETS) == pytest.approx(NUMBERS[name](sklearn), rel=1e-12)


@pytest.mark.oracle
def test_confusion_and_scores_per_class_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="no scikit-learn")
    np.testing.assert_array_equal(confusion_matrix(LOGITS, LABELS), sklearn.confusion_matrix(LABELS, LOGITS.argmax(1)))
    expected = sklearn.precision_recall_fscore_support(LABELS, LOGITS.argmax(1))
    for which, values in zip(("precision", "recall", "f1"), expected, strict=False):
        np.testing.assert_allclose(scores(which, LOGITS, LABELS), values, rtol=1e-12)


@pytest.mark.oracle
def test_tables_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="no scikit-learn")
    matrix, scored = (TABLES[name].compute(LOGITS, LABELS) for name in ("confusion_matrix", "per_class"))
    assert matrix == sklearn.confusion_matrix(LABELS, LOGITS.argmax(1)).tolist()
    expected = sklearn.precision_recall_fscore_support(LABELS, LOGITS.argmax(1))
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert scored[name] == pytest.approx(values.tolist(), rel=1e-12)
    assert TABLES["confusion_matrix"].compute(YES_LOGITS, YES) == sklearn.confusion_matrix(YES, YES_LOGITS > 0).tolist()
    both, logits = np.hstack([YES, 1 - YES]), np.hstack([YES_LOGITS, YES_LOGITS])
    assert TABLES["confusion_matrix"].compute(logits, both) == sklearn.multilabel_confusion_matrix(both, logits > 0).tolist()
    assert TABLES["per_class"].compute(logits, both)["support"] == both.sum(axis=0).tolist()


@pytest.mark.parametrize("validation", [None, {"fraction": 0.4}])
def test_a_training_tells_its_tables_beside_its_metrics(validation: Any, job: Any, blobs: dict[str, Any]) -> None:
    network, asked = [{"type": "dense", "units": 3}], ["confusion_matrix", "accuracy", "per_class"]
    trainer = Trainer(*job(blobs, inputs=["x"], target="y", network=network, metrics=asked, epochs=2, seed=1, validation=validation))
    for report in trainer.run():
        assert list(report.metrics) == ["accuracy"]
        assert list(report.tables) == ["confusion_matrix", "per_class"]
        matrix = np.array(report.tables["confusion_matrix"])
        assert matrix.sum() == (20 if validation else 50)
        assert np.trace(matrix) / matrix.sum() == pytest.approx(report.metrics["accuracy"])
        assert report.tables["per_class"]["support"] == matrix.sum(axis=1).tolist()
        json.dumps(report.to_json())
    state = checkpoint.decode(checkpoint.encode(trainer.state()))
    snapshot = checkpoint.artifact_from(trainer.spec, state, "last")
    assert snapshot.tables == report.tables


def test_a_table_of_too_many_classes_or_of_numbers_is_refused(job: Any, blobs: dict[str, Any]) -> None:
    for target, units, code in (("y", 101, "too_many_classes"), ("z", 1, "metric_needs_classes")):
        with pytest.raises(InvalidSpec) as refused:
            job(blobs, inputs=["x"], target=target, network=[{"type": "dense", "units": units}], metrics=["confusion_matrix"])
        assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/metrics/0", code)]


def test_a_class_that_is_nowhere_is_in_no_macro_mean() -> None:
    outputs, labels = np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([0, 1])
    assert METRICS["f1_macro"].compute(outputs, labels) == 1


def test_of_equal_logits_the_lower_class_comes_first() -> None:
    outputs = np.zeros((12, 12))
    assert METRICS["top_2_accuracy"].compute(outputs, np.arange(12)) == 2 / 12
    assert METRICS["top_5_accuracy"].compute(outputs, np.arange(12)) == 5 / 12
    assert METRICS["top_10_accuracy"].compute(outputs, np.arange(12)) == 10 / 12


def test_the_calibration_error_is_the_gap_between_being_sure_and_being_right() -> None:
    sure = np.log([[0.9, 0.1]] * 10 + [[0.35, 0.65]] * 10)
    labels = np.array([0] * 8 + [1] * 2 + [1] * 7 + [0] * 3)
    assert METRICS["calibration_error"].compute(sure, labels) == pytest.approx((0.1 + 0.05) / 2)
    yes = np.log([[0.9 / 0.1]] * 10)
    assert METRICS["calibration_error"].compute(yes, np.array([[1.0]] * 9 + [[0.0]])) == pytest.approx(0, abs=1e-12)


def test_an_order_of_one_class_alone_is_not_defined() -> None:
    assert np.isnan(METRICS["roc_auc"].compute(YES_LOGITS, np.ones_like(YES)))
    assert np.isnan(METRICS["roc_auc"].compute(np.empty((0, 3)), np.empty(0, np.int64)))


@pytest.mark.parametrize("hit", [True, False])
def test_r2_of_targets_that_are_all_equal_is_one_where_they_are_met(hit: bool) -> None:
    assert METRICS["r2"].compute(np.full((5, 1), 2.0 if hit else 2.5), np.full((5, 1), 2.0)) == float(hit)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_float32_is_computed_as_of_float64(name: MetricName) -> None:
    if METRICS[name].judges == "numbers":
        outputs, expected = OUTPUTS.astype(np.float32), TARGETS.astype(np.float32)
    else:
        outputs, expected = LOGITS.astype(np.float32), LABELS
    exact = expected.astype(np.float64) if expected.ndim == 2 else expected
    assert METRICS[name].compute(outputs, expected) == pytest.approx(METRICS[name].compute(outputs.astype(np.float64), exact), rel=1e-12)


@pytest.mark.parametrize("target", ["y", "b", "z"])
def test_a_training_reports_every_metric_that_fits_and_refuses_the_others(target: str, job: Any, blobs: dict[str, Any]) -> None:
    kinds = {"y": ("labels", "answers"), "b": ("answers",), "z": ("numbers",)}[target]
    fitting = [name for name, metric in METRICS.items() if metric.judges in kinds]
    columns = {"x": blobs["x"], "y": blobs["y"], "b": [int(label > 0) for label in blobs["y"]], "z": blobs["z"]}
    spec = {"inputs": ["x"], "target": target, "network": [{"type": "dense", "units": 3 if target == "y" else 1}], "epochs": 1}
    trainer = Trainer(*job(columns, **spec, metrics=fitting, validation={"fraction": 0.4}, seed=1))
    report = next(report for report in trainer.run() if report.epoch_ended)
    assert list(report.metrics) == fitting
    assert np.isfinite(list(report.metrics.values())).all()
    for name in METRICS.keys() - set(fitting):
        with pytest.raises(InvalidSpec) as refused:
            job(columns, **spec, metrics=[name])
        assert [fault.pointer for fault in refused.value.faults] == ["/metrics/0"]
