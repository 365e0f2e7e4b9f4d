from __future__ import annotations

from typing import Any

import numpy as np
import pytest

# The outputs of this network are its inputs.
IDENTITY = [{"type": "dense", "units": 3, "weight": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], "use_bias": False}]


def losses(one_step: Any, loss: str, outputs: list[list[float]], dtype: str = "float64", **expected: Any) -> tuple[float, np.ndarray]:
    """Mean loss and the gradient of the outputs, for these outputs."""
    step = one_step(IDENTITY, loss, input_shape=(3,), rows=len(outputs), dtype=dtype)
    step.inputs[:] = outputs
    for name, values in expected.items():
        getattr(step, name)[:] = values
    mean, plan = step.loss(), step.machine.program.training
    at = plan.resolve(plan.outputs.gradient)
    return mean, step.machine.arena[at : at + 3 * len(outputs)].reshape(-1, 3).copy()


def test_mean_squared_error_is_a_mean_over_rows_and_outputs(one_step: Any) -> None:
    mean, gradient = losses(one_step, "mean_squared_error", [[1, 2, 3], [0, 0, 0]], targets=[[1, 1, 1], [0, 0, 6]])
    assert mean == pytest.approx((0 + 1 + 4 + 36) / 6, rel=1e-15)
    np.testing.assert_allclose(gradient, np.array([[0, 1, 2], [0, 0, -6]]) * 2 / 6, rtol=1e-15)


def test_binary_cross_entropy_is_the_surprise_in_nats(one_step: Any) -> None:
    mean, gradient = losses(one_step, "binary_cross_entropy", [[0, 2, -1]], targets=[[1, 0, 0.25]])
    p = 1 / (1 + np.exp(-np.array([0, 2, -1])))
    assert mean == pytest.approx((np.log(2) - np.log(1 - p[1]) - 0.25 * np.log(p[2]) - 0.75 * np.log(1 - p[2])) / 3, rel=1e-14)
    np.testing.assert_allclose(gradient, [(p - [1, 0, 0.25]) / 3], rtol=1e-14)


def test_softmax_cross_entropy_is_the_surprise_in_nats(one_step: Any) -> None:
    mean, gradient = losses(one_step, "softmax_cross_entropy", [[1, 2, 3], [0, 0, 0]], labels=[0, 2])
    p = np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum()
    assert mean == pytest.approx((-np.log(p[0]) + np.log(3)) / 2, rel=1e-14)
    np.testing.assert_allclose(gradient, np.array([p - [1, 0, 0], [1 / 3, 1 / 3, -2 / 3]]) / 2, rtol=1e-14)


@pytest.mark.parametrize(("dtype", "large"), [("float32", 1e30), ("float64", 1e300)])
def test_large_logits_do_not_overflow(dtype: str, large: float, one_step: Any) -> None:
    right, gradient = losses(one_step, "softmax_cross_entropy", [[large, 0, -large]], dtype, labels=[0])
    assert right == 0
    np.testing.assert_allclose(gradient, 0, atol=1e-30)
    right, gradient = losses(one_step, "binary_cross_entropy", [[large, -large, large]], dtype, targets=[[1, 0, 1]])
    assert right == pytest.approx(0, abs=1e-30)
    np.testing.assert_allclose(gradient, 0, atol=1e-30)
    wrong, _ = losses(one_step, "softmax_cross_entropy", [[0, 0, 1000]], dtype, labels=[0])
    assert wrong == pytest.approx(1000)


@pytest.mark.parametrize("large", [1e3, 1e5, 1e7])
@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("linear", {"type": "softmax_cross_entropy"}),
        ("linear", {"type": "softmax_cross_entropy", "class_weights": [1.0, 1.0]}),
        ("linear", {"type": "softmax_cross_entropy", "label_smoothing": 0.5}),
        ("log_softmax", {"type": "negative_log_likelihood"}),
    ],
)
def test_beside_large_logits_float32_keeps_the_digits_of_the_loss(
    activation: str, loss: dict[str, Any], large: float, one_step: Any
) -> None:
    step = one_step([{"type": "activation", "activation": activation}], loss, input_shape=(2,), rows=2, dtype="float32")
    step.inputs[:] = [[large, large], [large, large + large * 2**-20]]
    step.labels[:] = [0, 0]
    logits, smoothing = step.inputs.astype(float), loss.get("label_smoothing", 0.0)
    surprise = (
        np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)) + logits.max(axis=1, keepdims=True) - logits
    )
    expected = ((1 - smoothing) * surprise[:, 0] + smoothing * surprise.mean(axis=1)).mean()
    assert step.evaluated()[0] == pytest.approx(expected, rel=3e-7)
    assert step.loss() == pytest.approx(expected, rel=3e-7)


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber", "binary_cross_entropy", "softmax_cross_entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_never_hidden(loss: str, dtype: str, one_step: Any) -> None:
    with pytest.raises(ArithmeticError, match="loss"):
        losses(one_step, loss, [[0, 0, 0], [0, np.nan, 0]], dtype)
