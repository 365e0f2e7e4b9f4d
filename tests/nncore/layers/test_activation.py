from __future__ import annotations

from collections.abc import Callable
from math import erf, erfc
from typing import Any, get_args

import numpy as np
import pytest

from nncore.activations import ACTIVATION_CODES, STEP, ActivationName, bend, bend_backward
from nncore.layers import Activation

BENT = [name for name, code in ACTIVATION_CODES.items() if code > STEP]
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
    "linear": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "softmax": lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
    "log_softmax": lambda x: x - x.max() - np.log(np.exp(x - x.max()).sum()),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "gelu": lambda x: x / 2 * np.vectorize(erfc)(-x / 2**0.5),
    "gelu_tanh": lambda x: x * np.exp(-np.logaddexp(0, -2 * (2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "softplus": lambda x: np.logaddexp(0, x),
    "silu": lambda x: x / (1 + np.exp(-x)),
}
POINTS = np.array([-40.0, -3.0, -1.0, -1e-3, -1e-9, 0.0, 1e-9, 0.5, 2.0, 30.0])


@pytest.mark.parametrize("name", get_args(ActivationName))
def test_the_layer_computes_what_plain_numpy_does(name: ActivationName, one_step: Any) -> None:
    step = one_step([{"type": "activation", "activation": name}], "mean_squared_error", input_shape=(10,), rows=1)
    step.inputs[:] = POINTS
    np.testing.assert_allclose(step.evaluated()[1], FORMULAS[name](POINTS)[None], rtol=1e-14, atol=2e-15)


def test_known_values() -> None:
    known = {
        "leaky_relu": -0.02, "elu": np.exp(-2) - 1, "selu": 1.0507009873554805 * 1.6732632423543772 * (np.exp(-2) - 1),
        "gelu": -(1 + erf(-(2**0.5))), "gelu_tanh": -0.04540230591222, "softplus": np.log1p(np.exp(-2)), "silu": -2 / (1 + np.exp(2)),
    }  # fmt: skip
    assert set(known) == set(BENT)
    for name, expected in known.items():
        y = np.empty(1)
        bend(ACTIVATION_CODES[name], np.array([-2.0]), y)
        assert y[0] == pytest.approx(expected, rel=1e-12), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BENT)
def test_they_stay_finite_where_an_exponential_overflows_and_let_nan_pass(name: str, dtype: str) -> None:
    x = np.array([-1e4, 1e4, np.nan], dtype)
    y, dx = np.empty_like(x), np.empty_like(x)
    bend(ACTIVATION_CODES[name], x, y)
    bend_backward(ACTIVATION_CODES[name], x, np.ones_like(x), dx)
    assert np.isfinite(y[:2]).all()
    assert np.isfinite(dx[:2]).all()
    assert np.isnan(y[2])


def test_the_step_cannot_be_trained() -> None:
    assert "slope" in (Activation(activation="step").untrainable() or "")
    assert Activation(activation="gelu").untrainable() is None
