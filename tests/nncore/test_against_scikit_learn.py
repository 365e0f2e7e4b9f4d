"""Whole training runs against scikit-learn's multi-layer perceptron, in float64: every epoch's loss and the final weights to 1e-12."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from nncore.trainer import Trainer

ROWS, EPOCHS = 60, 12
STANDARD = {
    "hidden_layer_sizes": (7, 5),
    "shuffle": False,
    "alpha": 0,
    "max_iter": EPOCHS,
    "tol": 0,
    "n_iter_no_change": 1000,
    "random_state": 3,
}
# Adam and momentum as scikit-learn has them: epsilon "hat"; its velocity is the rate times our buffer.
SOLVERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sgd": ({"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0}, {"type": "sgd", "learning_rate": 0.1}),
    "momentum": (
        {"solver": "sgd", "learning_rate_init": 0.03, "momentum": 0.9, "nesterovs_momentum": False},
        {"type": "sgd", "learning_rate": 0.03, "momentum": 0.9},
    ),
    "nesterov": (
        {"solver": "sgd", "learning_rate_init": 0.03, "momentum": 0.9, "nesterovs_momentum": True},
        {"type": "sgd", "learning_rate": 0.03, "momentum": 0.9, "nesterov": True},
    ),
    "adam": ({"solver": "adam", "learning_rate_init": 0.01}, {"type": "adam", "learning_rate": 0.01, "epsilon_mode": "hat"}),
}


def fitted(estimator: Any, x: np.ndarray, y: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        return estimator.fit(x, y)


@pytest.mark.oracle
@pytest.mark.parametrize("batch_size", [10, 16])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", ["classes", "yes-or-no", "numbers"])
def test_a_whole_run_is_that_of_scikit_learn(task: str, solver: str, activation: str, batch_size: int, job: Any) -> None:
    network = pytest.importorskip("sklearn.neural_network", reason="no scikit-learn")
    random = np.random.default_rng(0)
    x = random.standard_normal((ROWS, 4))
    noisy = x[:, 0] * 2 - x[:, 1] + random.standard_normal(ROWS) * 0.3
    y = {"classes": np.digitize(noisy, [-1, 1]), "yes-or-no": (noisy > 0).astype(int), "numbers": noisy}[task]
    units, loss = {"classes": (3, "softmax_cross_entropy"), "yes-or-no": (1, "binary_cross_entropy"), "numbers": (1, "mean_squared_error")}[
        task
    ]

    theirs, ours = SOLVERS[solver]
    settings = STANDARD | theirs | {"activation": {"sigmoid": "logistic"}.get(activation, activation), "batch_size": batch_size}
    kind = network.MLPRegressor if task == "numbers" else network.MLPClassifier
    start = fitted(kind(**settings | {"learning_rate_init": 1e-300, "max_iter": 1}), x, y)
    finish = fitted(kind(**settings), x, y)

    if task == "numbers":  # scikit-learn halves the squared error
        ours = ours | {"learning_rate": ours["learning_rate"] / 2} if solver != "adam" else ours | {"epsilon": 2e-8}
    layers = [
        {
            "type": "dense",
            "units": len(bias),
            "activation": activation if number < 2 else "linear",
            "weight": weight.T.tolist(),
            "bias": bias.tolist(),
        }
        for number, (weight, bias) in enumerate(zip(start.coefs_, start.intercepts_, strict=True))
    ]
    assert layers[-1]["units"] == units
    spec = {"target": "y", "network": layers, "loss": {"type": loss}, "optimizer": ours, "batch_size": batch_size, "epochs": EPOCHS}
    trainer = Trainer(*job({"x": x.tolist(), "y": y.tolist()}, **spec, shuffle=False, dtype="float64", seed=1))
    losses = [report.loss for report in trainer.run() if report.epoch_ended]

    halved = 2 if task == "numbers" else 1
    np.testing.assert_allclose(losses, np.array(finish.loss_curve_) * halved, rtol=1e-12)
    parameters = trainer.artifact("last").parameters
    assert abs(finish.coefs_[0] - start.coefs_[0]).max() > 0.01
    for number, (weight, bias) in enumerate(zip(finish.coefs_, finish.intercepts_, strict=True)):
        np.testing.assert_allclose(parameters[f"{2 * number}.weight"], weight.T, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(parameters[f"{2 * number}.bias"], bias, rtol=1e-12, atol=1e-12)
