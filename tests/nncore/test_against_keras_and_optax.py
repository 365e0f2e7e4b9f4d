"""Numbers that the tests of Keras 3.15.1 and optax 0.2.8 expect, each with the test it is from, and what is to be converted.

Where the libraries differ from PyTorch, whose conventions are ours:

    weights of rows   Keras' losses divide by the rows, ours, and Keras' metrics, by the sum of the weights
    probabilities     Keras' losses take them unless told otherwise; ours take logits, here log p, or log p / (1 - p)
    epsilon           Keras adds it to the uncorrected root of adam (epsilon_mode "hat"), and within the root of adagrad and rmsprop
    label smoothing   of yes or no: Keras moves the target, t (1 - s) + s / 2
    one cycle         optax reaches the end at its last step, ours at the step before: one step more
    plateau           optax lowers the rate in the epoch that uses up the patience, ours after it: one epoch less
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.metrics import METRICS
from nncore.schedules import Plateau, ReduceOnPlateau, ScheduleSpec
from nncore.trainer import Trainer


def logit(p: Any) -> Any:
    return np.log(p) - np.log1p(-np.asarray(p))


def mean_loss(
    one_step: Any, loss: Any, outputs: Any, weights: Sequence[float] | None = None, labels: Any = None, targets: Any = None
) -> float:
    """The mean loss of these outputs: of a network that passes its inputs on."""
    given = np.array(outputs, float)
    rows, size = given.shape
    layers = [{"type": "dense", "units": size, "weight": np.eye(size).tolist(), "use_bias": False}]
    step = one_step(layers, loss, input_shape=(size,), rows=rows, weights=None if weights is None else np.array(weights, float))
    step.inputs[:] = given
    if labels is not None:
        step.labels[:] = labels
    if targets is not None:
        step.targets[:] = targets
    return float(step.loss())


NUMBERS = {"outputs": [[4, 8, 12], [8, 1, 3]], "targets": [[1, 9, 2], [-5, -2, 6]]}
CROSSED = {"outputs": [[10, -10, 10], [10, 10, -10]], "targets": [[1, 0, 1], [0, 1, 1]]}
CLASSES = {"outputs": [[8, 1, 1], [0, 9, 1], [2, 3, 5]], "labels": [0, 1, 2]}
SHARES = {"outputs": np.log([[0.9, 0.05, 0.05], [0.5, 0.89, 0.6], [0.05, 0.01, 0.94]]), "labels": [0, 1, 2]}
YES = {"outputs": logit([[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.1, 0.2, 0.7]]), "targets": np.eye(3)}
OFF = {"outputs": [[0, 0, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [1, 1, 1, 1, 1]],
       "targets": [[0, 1, 0, 1, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1]]}  # fmt: skip
SURE = {"outputs": [[1, 9, 0], [1, 8, 1]], "labels": [1, 2]}
ROWS = "the mean is over rows"

# (where it stands, loss, what goes in, weights, whether Keras divides by the rows, the expected number, to how much)
LOSSES: list[tuple[str, Any, dict[str, Any], list[float] | None, str | None, float, float]] = [
    ("losses_test.MeanSquaredErrorTest.test_unweighted", "mean_squared_error", NUMBERS, None, None, 49.5, 1e-12),
    ("losses_test.MeanSquaredErrorTest.test_sample_weighted", "mean_squared_error", NUMBERS, [1.2, 3.4], ROWS, 767.8 / 6, 1e-12),
    ("losses_test.MeanSquaredErrorTest.test_mean_with_sample_weight_reduction", "mean_squared_error", NUMBERS, [1.2, 3.4], None,
     (110 / 3 * 1.2 + 187 / 3 * 3.4) / 4.6, 1e-12),
    ("losses_test.MeanAbsoluteErrorTest.test_unweighted", "mean_absolute_error", NUMBERS, None, None, 5.5, 1e-12),
    ("losses_test.MeanAbsoluteErrorTest.test_sample_weighted", "mean_absolute_error", NUMBERS, [1.2, 3.4], ROWS, 81.4 / 6, 1e-12),
    ("regression_metrics_test.MeanAbsoluteErrorTest.test_weighted", "mean_absolute_error", OFF, [1, 1.5, 2, 2.5], None, 0.54285, 1e-5),
    ("losses_test.BinaryCrossentropyTest.test_unweighted", "binary_cross_entropy", YES, None, None, 0.20046903, 1e-6),
    ("losses_test.BinaryCrossentropyTest.test_unweighted, logits", "binary_cross_entropy", CROSSED, None, None, 3.3333, 1e-4),
    ("losses_test.BinaryCrossentropyTest.test_sample_weighted, logits", "binary_cross_entropy", CROSSED, [4, 3], ROWS, 10.0, 1e-3),
    ("probabilistic_metrics_test.BinaryCrossentropyTest.test_weighted_from_logits", "binary_cross_entropy", CROSSED, [2, 2.5], None,
     3.7037, 1e-4),
    ("losses_test.BinaryCrossentropyTest.test_label_smoothing", "binary_cross_entropy",
     {"outputs": [[10, -10, -10]], "targets": [[0.95, 0.05, 0.95]]}, None, None, (10 + 5 * 0.1) / 3, 1e-4),
    ("losses_test.SparseCategoricalCrossentropyTest.test_unweighted", "softmax_cross_entropy", SHARES, None, None, 0.3239, 1e-4),
    ("losses_test.SparseCategoricalCrossentropyTest.test_unweighted, logits", "softmax_cross_entropy", CLASSES, None, None, 0.0573, 1e-4),
    ("losses_test.SparseCategoricalCrossentropyTest.test_sample_weighted", "softmax_cross_entropy", SHARES, [1.2, 3.4, 5.6], ROWS, 1.0696,
     1e-4),
    ("losses_test.CategoricalCrossentropyTest.test_sample_weighted, logits", "softmax_cross_entropy", CLASSES, [1.2, 3.4, 5.6], ROWS,
     0.31829, 1e-5),
    ("losses_test.CategoricalCrossentropyTest.test_no_reduction", "softmax_cross_entropy", CLASSES, [1, 0, 0], None, 0.001822, 1e-6),
    ("losses_test.CategoricalCrossentropyTest.test_no_reduction", "softmax_cross_entropy", CLASSES, [0, 1, 0], None, 0.000459, 1e-6),
    ("losses_test.CategoricalCrossentropyTest.test_no_reduction", "softmax_cross_entropy", CLASSES, [0, 0, 1], None, 0.169846, 1e-6),
    ("losses_test.CategoricalCrossentropyTest.test_label_smoothing", {"type": "softmax_cross_entropy", "label_smoothing": 0.1},
     {"outputs": [[100, -100, -100]], "labels": [0]}, None, None, 400 * 0.1 / 3, 1e-9),
    ("losses_test.SparseCategoricalCrossentropyTest.test_ignore_class", {"type": "softmax_cross_entropy", "ignore_index": -1},
     {"outputs": [[0.854, 0.698, 0.598], [0.088, 0.86, 0.018]], "labels": [-1, 2]}, None, None, 1.480129, 1e-6),
    ("probabilistic_metrics_test.SparseCategoricalCrossentropyTest.test_weighted_from_logits", "softmax_cross_entropy", SURE, [1.5, 2],
     None, 4.0012, 1e-4),
    ("probabilistic_metrics_test.CategoricalCrossentropyTest.test_label_smoothing",
     {"type": "softmax_cross_entropy", "label_smoothing": 0.1}, SURE, None, None, 3.667, 1e-3),
    ("optax _classification_test.SoftmaxCrossEntropyTest.test_batched", "softmax_cross_entropy",
     {"outputs": [[10, 1, -2]], "labels": [1]}, None, None, 9.00013, 1e-5),
    ("optax _classification_test.SoftmaxCrossEntropyTest.test_batched", "softmax_cross_entropy",
     {"outputs": [[1, 4, 0.2]], "labels": [0]}, None, None, 3.0696733, 1e-6),
    ("optax _classification_test.SigmoidCrossEntropyTest.test_sigmoid_cross_entropy", "binary_cross_entropy",
     {"outputs": [[-1e9, -1e-9]], "targets": [[1, 0]]}, None, None, 5e8, 1),
    ("optax _classification_test.SigmoidCrossEntropyTest.test_sigmoid_cross_entropy", "binary_cross_entropy",
     {"outputs": [[1e9, -1e-9]], "targets": [[1, 0]]}, None, None, 0.3465736, 1e-7),
    *(("optax _regression_test.HuberLossTest.test_batched", "huber", {"outputs": [[output]], "targets": [[target]]}, None, None, far, 1e-12)
      for output, target, far in [(-2, 0, 1.5), (0.5, -0.5, 0.5), (0.5, 1, 0.125), (2, 1, 0.5), (132, 0.3, 131.2)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "loss", "shown", "weights", "over_rows", "expected", "within"), LOSSES, ids=[each[0] for each in LOSSES]
)
def test_losses(
    source: str, loss: Any, shown: Any, weights: Any, over_rows: str | None, expected: float, within: float, one_step: Any
) -> None:
    found = mean_loss(one_step, loss, **shown, weights=weights)
    assert (found * sum(weights) / len(weights) if over_rows else found) == pytest.approx(expected, abs=within)


ONE_OF_THREE = [[0.9, 0.1, 0], [0.2, 0.6, 0.2], [0, 0, 1], [0.4, 0.3, 0.3], [0, 0.9, 0.1], [0, 0, 1]]
OVER_A_THRESHOLD = np.array([[0.7, 0.7, 0.7], [1, 0, 0], [0.9, 0.8, 0]]) - 0.66
TRUE = np.array([[0.0, 0, 1], [1, 1, 0], [1, 1, 1]])
SCORES: list[tuple[str, str, Any, Any, float]] = [
    ("accuracy_metrics_test.SparseTopKCategoricalAccuracyTest.test_unweighted", "accuracy", [[0.1, 0.9, 0.8], [0.05, 0.95, 0]], [2, 1],
     0.5),
    ("f_score_metrics_test.FBetaScoreTest.test_fbeta_random_score_none, micro", "f1_micro", ONE_OF_THREE, [0, 1, 2, 0, 0, 2], 0.833334),
    ("f_score_metrics_test.FBetaScoreTest.test_fbeta_random_score_none, macro", "f1_macro", ONE_OF_THREE, [0, 1, 2, 0, 0, 2], 0.822222),
    ("f_score_metrics_test.FBetaScoreTest.test_fbeta_random_score, micro", "f1_micro", OVER_A_THRESHOLD, TRUE, 0.6666667),
    ("f_score_metrics_test.FBetaScoreTest.test_fbeta_random_score, macro", "f1_macro", OVER_A_THRESHOLD, TRUE, 0.6555555),
    ("confusion_metrics_test.AUCTest.test_unweighted", "roc_auc", logit([[1e-12], [0.5], [0.3], [0.9]]), [[0], [0], [1], [1]], 0.75),
    ("probabilistic_metrics_test.CategoricalCrossentropyTest.test_unweighted_from_logits", "log_loss", SURE["outputs"], [1, 2], 3.5011),
    ("regression_metrics_test.MeanAbsoluteErrorTest.test_unweighted", "mean_absolute_error", OFF["outputs"], OFF["targets"], 0.5),
    ("regression_metrics_test.RootMeanSquaredErrorTest.test_unweighted", "root_mean_squared_error", [[1], [3], [2]], [[2], [4], [6]],
     6**0.5),
    ("regression_metrics_test.R2ScoreTest.test_r2_sklearn_comparison", "r2", [[0.4, 0.5, 0.6], [0.1, 0.2, 0.3], [0.5, 0.8, 0.2]],
     [[0, 0, 1], [0, 1, 0], [1, 0, 0]], -0.12),
]  # fmt: skip


@pytest.mark.parametrize(("source", "metric", "outputs", "expected", "score"), SCORES, ids=[each[0] for each in SCORES])
def test_metrics(source: str, metric: str, outputs: Any, expected: Any, score: float) -> None:
    found = METRICS[metric].compute(np.array(outputs, float), np.array(expected))
    assert found == pytest.approx(score, abs=1e-4 if metric == "log_loss" else 1e-6)


def steps(one_step: Any, optimizer: dict[str, Any], start: list[float], gradients: Sequence[Any]) -> Iterator[np.ndarray]:
    """The parameters after each step, made with these gradients: those of |x p + 1e9|, which are x."""
    layers = [{"type": "dense", "units": 1, "weight": [start], "use_bias": False}]
    step = one_step(layers, "mean_absolute_error", input_shape=(len(start),), rows=1, optimizer=optimizer)
    step.targets[:] = -1e9
    for number, gradient in enumerate(gradients):
        step.inputs[:] = gradient
        assert step.machine.run_steps(step.optimizer.scalars(np.array([number])), np.zeros(2), step.rows, np.arange(1), 0) == 1
        yield step.machine.parameters.copy()


HAT = {"epsilon": 1e-7, "epsilon_mode": "hat"}
SINGLE: list[tuple[str, dict[str, Any], list[float]]] = [
    ("sgd_test.SGDTest", {"type": "sgd", "learning_rate": 0.5}, [0.5, -1.0, -0.5, 3.0]),
    ("adam_test.AdamTest", {"type": "adam", "learning_rate": 0.5, **HAT}, [0.5, 1.5, 2.5, 3.5]),
    ("adamw_test.AdamWTest", {"type": "adamw", "learning_rate": 0.5, "weight_decay": 0.004, **HAT}, [0.498, 1.496, 2.494, 3.492]),
    ("rmsprop_test.RMSpropTest", {"type": "rmsprop", "learning_rate": 0.5, "alpha": 0.9}, [-0.5811, 0.4189, 1.4189, 2.4189]),
    ("adagrad_test.AdagradTest", {"type": "adagrad", "learning_rate": 0.5, "initial_sum": 0.1}, [0.5233, 1.5007, 2.5005, 3.5061]),
    ("lion_test.LionTest", {"type": "lion", "learning_rate": 0.5}, [0.5, 1.5, 2.5, 3.5]),
]


@pytest.mark.parametrize(("source", "optimizer", "expected"), SINGLE, ids=[f"{each[0]}.test_single_step" for each in SINGLE])
def test_a_single_step(source: str, optimizer: dict[str, Any], expected: list[float], one_step: Any) -> None:
    (found,) = steps(one_step, optimizer, [1.0, 2.0, 3.0, 4.0], [[1.0, 6.0, 7.0, 2.0]])
    np.testing.assert_allclose(found, expected, atol=5.1e-5)


# Parameters from 1 on, after a gradient of 0.01 and four of 0.1, 0.2, ..., 1: some of the ten, to four digits.
GOLDEN: list[tuple[str, dict[str, Any], list[int], list[list[float]]]] = [
    # Keras keeps the largest mean of squares (amsgrad): with gradients that do not fall it is the present one. Its one column
    # of numbers for all ten is that of the last; Keras itself gives the first 0.9963679 after four steps, as we do.
    ("adam_test.AdamTest", {"type": "adam", **HAT}, [9], [[0.999], [0.9982], [0.9974], [0.9965], [0.9955]]),
    ("adamw_test.AdamWTest", {"type": "adamw", "learning_rate": 1.0, "weight_decay": 0.5, "epsilon": 2, "epsilon_mode": "hat"}, [0, 4, 9],
     [[0.4998, 0.4998, 0.4998], [0.2486, 0.244, 0.2382], [0.1223, 0.1124, 0.1003], [0.0586, 0.0439, 0.0258], [0.0263, 0.0073, -0.0159]]),
    ("sgd_test.SGDTest", {"type": "sgd", "learning_rate": 0.01}, [0, 4, 9],
     [[0.9999, 0.9999, 0.9999], [0.9989, 0.9949, 0.9899], [0.9979, 0.9899, 0.9799], [0.9969, 0.9849, 0.9699], [0.9959, 0.9799, 0.9599]]),
    ("rmsprop_test.RMSpropTest", {"type": "rmsprop", "learning_rate": 0.001, "alpha": 0.9, "centered": True}, [0, 9],
     [[0.9967] * 2, [0.9933] * 2, [0.9908] * 2, [0.9885] * 2, [0.9864] * 2]),
    ("adagrad_test.AdagradTest", {"type": "adagrad", "learning_rate": 0.2, "initial_sum": 0.3}, [0, 4, 9],
     [[0.9963, 0.9963, 0.9963], [0.9604, 0.8615, 0.8209], [0.9251, 0.7497, 0.6891], [0.8903, 0.6521, 0.579], [0.856, 0.5644, 0.4825]]),
    ("lion_test.LionTest", {"type": "lion", "learning_rate": 0.001}, [0, 9],
     [[0.999] * 2, [0.998] * 2, [0.997] * 2, [0.996] * 2, [0.995] * 2]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "optimizer", "which", "expected"), GOLDEN, ids=[f"{each[0]}.test_correctness_with_golden" for each in GOLDEN]
)
def test_five_steps(source: str, optimizer: dict[str, Any], which: list[int], expected: list[list[float]], one_step: Any) -> None:
    gradients = [np.full(10, 0.01), *[np.arange(0.1, 1.05, 0.1)] * 4]
    found = np.array(list(steps(one_step, optimizer, [1.0] * 10, gradients)))
    np.testing.assert_allclose(found[:, which], expected, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_decay_without_a_gradient(optimizer: str, one_step: Any) -> None:
    """adamw_test.AdamWTest.test_weight_decay, lion_test.LionTest.test_weight_decay: three steps."""
    asked = {"type": optimizer, "learning_rate": 1.0, "weight_decay": 0.004}
    *_, last = steps(one_step, asked, [2.0], [[0.0]] * 3)
    assert last == pytest.approx([1.9760959], abs=1e-6)


@pytest.mark.parametrize(("bound", "expected"), [({"clip_norm": 1.0}, 2**0.5 / 2), ({"clip_value": 1.0}, 1.0)])
def test_clipping(bound: dict[str, float], expected: float, one_step: Any) -> None:
    """sgd_test.SGDTest.test_clip_norm and test_clip_value."""
    (found,) = steps(one_step, {"type": "sgd", "learning_rate": 1.0, **bound}, [0.0, 0.0], [[100.0, 100.0]])
    np.testing.assert_allclose(-found, [expected] * 2, rtol=1e-7)


# (where it stands, schedule, learning rate, steps, the rates there)
RATES: list[tuple[str, dict[str, Any], float, list[int], list[float]]] = [
    ("learning_rate_schedule_test.ExponentialDecayTest.test_continuous", {"type": "exponential", "every_steps": 10, "factor": 0.96}, 0.05,
     [5], [0.05 * 0.96**0.5]),
    ("learning_rate_schedule_test.ExponentialDecayTest.test_staircase", {"type": "step", "every_steps": 3, "factor": 0.96}, 0.1,
     [1, 2, 100], [0.1, 0.1, 0.1 * 0.96**33]),
    ("optax _schedule_test.ExponentialTest.test_immutable_count", {"type": "exponential", "factor": 0.5}, 32, [0, 1, 2, 3, 4],
     [32, 16, 8, 4, 2]),
    ("optax _schedule_test.CosineDecayTest.test_decay_count_greater_count_with_alpha", {"type": "cosine", "steps": 5, "final": 0.1}, 0.1,
     [0, 1, 2, 5, 11], [0.1, 0.0914058, 0.0689058, 0.01, 0.01]),
    ("optax _schedule_test.OneCycleTest.test_cosine", {"type": "one_cycle", "steps": 6, "rising": 0.5, "start_divisor": 10,
     "final_divisor": 100}, 1000, [0, 1, 2, 3, 4, 5, 6], [100.0, 550.0, 1000.0, 750.25, 250.75, 1.0, 1.0]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "schedule", "rate", "at", "expected"), RATES, ids=[each[0] for each in RATES])
def test_schedules(source: str, schedule: dict[str, Any], rate: float, at: list[int], expected: list[float]) -> None:
    factors = TypeAdapter(ScheduleSpec).validate_python(schedule).factors(np.array(at))
    np.testing.assert_allclose(rate * factors, expected, rtol=1e-6)


def test_a_plateau() -> None:
    """optax _reduce_on_plateau_test.ReduceLROnPlateauTest, all three of its states; patience 5 there."""
    schedule, state = ReduceOnPlateau(factor=0.1, patience=4, threshold=1e-4, cooldown=5, final=0.01), Plateau()
    for _ in range(6):
        state = schedule.after_epoch(state, 1.0)
    assert state == Plateau(pytest.approx(0.1), 1.0, 0, 5)
    assert schedule.after_epoch(state, 1.0) == Plateau(pytest.approx(0.1), 1.0, 0, 4)
    assert schedule.after_epoch(Plateau(0.1, 1.0, 3, 0), 0.1) == Plateau(0.1, 0.1, 0, 0)
    assert schedule.after_epoch(Plateau(0.1, 1.0, 0, 3), 2.0) == Plateau(0.1, 1.0, 0, 2)


def test_a_whole_training(job: Any) -> None:
    """learning_rate_schedule_test.TestFitLRSchedulesFlow.test_fit_lr_correctness."""
    ones = {"type": "constant", "value": 1.0}
    rows = np.arange(32.0).reshape(16, 2).tolist()
    optimizer = {"type": "adam", "learning_rate": 0.05, "schedule": {"type": "exponential", "factor": 0.9}, **HAT}
    network = [{"type": "dense", "units": 2, "initialiser": ones, "bias_initialiser": ones}]
    spec = {"network": network, "optimizer": optimizer, "batch_size": 4, "epochs": 3, "shuffle": False, "target": "y"}
    reports = list(Trainer(*job({"x": rows, "y": rows}, loss={"type": "mean_squared_error"}, seed=1, **spec)).run())
    assert [report.loss for report in reports] == pytest.approx([230.79457092285156, 128.30319213867188, 79.33648681640625], rel=5e-5)
