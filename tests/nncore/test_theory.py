"""Where mathematics knows the optimum, training ends there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.trainer import Trainer


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    x = random.standard_normal((60, 3))
    return x, x @ [1.0, -2.0, 0.5] + 3 + random.standard_normal(60) * 0.2


def trained(job: Any, x: np.ndarray, y: np.ndarray, loss: dict[str, Any], optimizer: dict[str, Any], epochs: int = 3000) -> np.ndarray:
    """The weights of a linear network after full-batch training, its bias last."""
    network = [{"type": "dense", "units": 1}]
    spec = {"target": "y", "network": network, "loss": loss, "optimizer": optimizer, "dtype": "float64", "batch_size": 60}
    trainer = Trainer(*job({"x": x.tolist(), "y": y.tolist()}, **spec, epochs=epochs, seed=1, shuffle=False))
    for _ in trainer.run():
        pass
    parameters = trainer.artifact("last").parameters
    return np.append(parameters["0.weight"], parameters["0.bias"])


def test_squared_error_with_l2_is_ridge_regression(job: Any) -> None:
    (x, y), l2 = data(), 0.3
    found = trained(job, x, y, {"type": "mean_squared_error"}, {"type": "sgd", "learning_rate": 0.2, "l2": l2})
    centred, away = x - x.mean(axis=0), y - y.mean()
    weights = np.linalg.solve(centred.T @ centred + l2 / 2 * len(x) * np.eye(3), centred.T @ away)
    np.testing.assert_allclose(found, [*weights, y.mean() - x.mean(axis=0) @ weights], rtol=1e-9)


def test_biases_shrink_too_where_that_is_asked_for(job: Any) -> None:
    (x, y), l2 = data(), 0.3
    penalty = {"l2": l2, "decay_biases": True}
    found = trained(job, x, y, {"type": "mean_squared_error"}, {"type": "sgd", "learning_rate": 0.2, **penalty})
    wide = np.column_stack([x, np.ones(len(x))])
    np.testing.assert_allclose(found, np.linalg.solve(wide.T @ wide + l2 / 2 * len(x) * np.eye(4), wide.T @ y), rtol=1e-9)


def test_l1_brings_useless_weights_to_zero(job: Any) -> None:
    x, _ = data()
    y = 2 * x[:, 0]
    schedule = {"type": "cosine"}
    found = trained(job, x, y, {"type": "mean_squared_error"}, {"type": "sgd", "learning_rate": 0.05, "l1": 0.5, "schedule": schedule})
    assert abs(found[0]) > 1.5
    assert np.abs(found[1:3]).max() < 1e-5


def test_absolute_error_ends_at_the_median_and_huber_between_it_and_the_mean(job: Any) -> None:
    x, y = np.zeros((60, 1)), np.r_[(np.arange(59) / 10) ** 2, 1000.0]  # to the right of the median they lie wider apart
    adam = {"type": "adam", "learning_rate": 0.3, "schedule": {"type": "cosine"}}
    median = trained(job, x, y, {"type": "mean_absolute_error"}, adam, 2000)[1]
    huber = trained(job, x, y, {"type": "huber", "delta": 10.0}, adam, 2000)[1]
    assert median == pytest.approx(np.median(y), abs=0.3)
    assert np.median(y) + 0.5 < huber < y.mean() - 5
    cut = np.clip(huber - y, -10, 10)
    assert abs(cut.sum()) < 1e-3


@pytest.mark.oracle
def test_one_sigmoid_under_cross_entropy_is_logistic_regression(job: Any) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="no scikit-learn")
    (x, y), l2 = data(), 0.05
    yes = (y > 3).astype(float)
    optimizer = {"type": "lbfgs", "l2": l2, "gradient_tolerance": 1e-12, "change_tolerance": 1e-18}
    found = trained(job, x, yes, {"type": "binary_cross_entropy"}, optimizer, 200)
    expected = linear.LogisticRegression(C=1 / (l2 * len(x)), tol=1e-12, max_iter=10_000).fit(x, yes)
    np.testing.assert_allclose(found, [*expected.coef_[0], *expected.intercept_], rtol=1e-6)


def test_a_linear_autoencoder_spans_the_principal_components(job: Any) -> None:
    random = np.random.default_rng(6)
    x = random.standard_normal((60, 5)) * [3.0, 2.0, 1.0, 0.5, 0.2] @ np.linalg.qr(random.standard_normal((5, 5)))[0]
    x -= x.mean(axis=0)
    network = [{"type": "dense", "units": 2, "use_bias": False}, {"type": "dense", "units": 5, "use_bias": False}]
    optimizer = {"type": "lbfgs", "gradient_tolerance": 1e-12, "change_tolerance": 1e-18}
    spec = {
        "inputs": ["x"],
        "target": "y",
        "network": network,
        "optimizer": optimizer,
        "dtype": "float64",
        "batch_size": 60,
        "epochs": 1000,
    }
    trainer = Trainer(*job({"x": x.tolist(), "y": x.tolist()}, **spec, loss={"type": "mean_squared_error"}, seed=1))
    reports = list(trainer.run())
    components = np.linalg.svd(x, full_matrices=False)[2][:2]
    inner, outer = trainer.artifact("last").parameters.values()
    np.testing.assert_allclose(outer @ inner, components.T @ components, atol=1e-5)
    assert reports[-1].loss == pytest.approx(((x - x @ components.T @ components) ** 2).mean(), rel=1e-9)
