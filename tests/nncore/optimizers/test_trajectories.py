"""Every optimizer over 50 steps: against its formula in numpy, and against torch.optim. A new one without a case fails."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from nncore.optimizers import OptimizerSpec

LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}]
STEPS = 50

CASES: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "learning_rate": 0.3},
    "sgd-momentum": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "sgd-nesterov": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
    "adam": {"type": "adam", "learning_rate": 0.01},
    "adam-other-betas": {"type": "adam", "learning_rate": 0.01, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3},
    "adam-hat": {"type": "adam", "learning_rate": 0.01, "epsilon_mode": "hat", "epsilon": 1e-3},
}


def test_every_optimizer_has_a_trajectory() -> None:
    assert {case["type"] for case in CASES.values()} == {spec.model_fields["type"].default for spec in get_args(get_args(OptimizerSpec)[0])}


def updates(case: dict[str, Any], gradients: list[np.ndarray]) -> list[np.ndarray]:
    """The formula, step after step: what is taken from the parameters."""
    rate, found, first, second = case["learning_rate"], [], np.zeros_like(gradients[0]), np.zeros_like(gradients[0])
    for t, g in enumerate(gradients, start=1):
        if case["type"] == "sgd":
            first = case.get("momentum", 0) * first + g
            found.append(rate * (g + case["momentum"] * first if case.get("nesterov") else first))
        else:
            beta1, beta2, epsilon = case.get("beta1", 0.9), case.get("beta2", 0.999), case.get("epsilon", 1e-8)
            first, second = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g * g
            if case.get("epsilon_mode") == "hat":
                found.append(rate * np.sqrt(1 - beta2**t) / (1 - beta1**t) * first / (np.sqrt(second) + epsilon))
            else:
                found.append(rate * (first / (1 - beta1**t)) / (np.sqrt(second / (1 - beta2**t)) + epsilon))
    return found


def trajectory(one_step: Any, case: dict[str, Any], dtype: str = "float64") -> tuple[Any, np.ndarray, list[np.ndarray]]:
    """The network, its parameters before and after every step, and the gradients on the way."""
    step = one_step(LAYERS, "softmax_cross_entropy", rows=20, dtype=dtype, optimizer=case)
    path, gradients = [step.parameters], []
    for number in range(STEPS):
        scalars = step.optimizer.scalars(np.arange(number, number + 1))
        assert step.machine.run_steps(scalars, np.zeros(2), step.rows, np.arange(20), 0) == 1
        path.append(step.machine.parameters.copy())
        gradients.append(step.machine.gradients.copy())
    return step, np.array(path), gradients


@pytest.mark.parametrize("name", CASES)
def test_the_trajectory_follows_the_formula(name: str, one_step: Any) -> None:
    _, path, gradients = trajectory(one_step, CASES[name])
    assert np.abs(path[-1] - path[0]).max() > 0.05
    np.testing.assert_allclose(path[:-1] - path[1:], updates(CASES[name], gradients), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_a_float32_trajectory_stays_float32_and_close(name: str, one_step: Any) -> None:
    _, path, gradients = trajectory(one_step, CASES[name], "float32")
    assert path.dtype == np.float32
    exact = updates(CASES[name], [gradient.astype(np.float64) for gradient in gradients])
    np.testing.assert_allclose(path[:-1] - path[1:], exact, atol=2e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [name for name in CASES if name != "adam-hat"])
def test_the_trajectory_is_that_of_torch(name: str, one_step: Any, torch_network: Any) -> None:
    import torch

    case = CASES[name]
    step, path, _ = trajectory(one_step, case)
    model = torch_network(step.network, (4,), path[0])
    if case["type"] == "sgd":
        optimizer = torch.optim.SGD(
            model.parameters(), case["learning_rate"], case.get("momentum", 0), nesterov=case.get("nesterov", False)
        )
    else:
        betas = (case.get("beta1", 0.9), case.get("beta2", 0.999))
        optimizer = torch.optim.Adam(model.parameters(), case["learning_rate"], betas, case.get("epsilon", 1e-8))
    for expected in path[1:]:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.tensor(step.inputs)), torch.tensor(step.labels)).backward()
        optimizer.step()
        vector = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
        np.testing.assert_allclose(vector, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("mode", "part_of_rate"), [("torch", 0.500), ("hat", 0.0307)])
def test_the_epsilon_modes_differ_where_gradients_are_as_small_as_epsilon(mode: str, part_of_rate: float, one_step: Any) -> None:
    case = {"type": "adam", "learning_rate": 1.0, "epsilon_mode": mode}
    layer = {"type": "dense", "units": 1, "weight": [[0.0]], "use_bias": False}
    step = one_step([layer], "mean_squared_error", input_shape=(1,), rows=1, optimizer=case)
    step.inputs[:], step.targets[:] = 1, -0.5e-8  # the gradient is 1e-8
    step.loss()
    assert -step.machine.parameters[0] == pytest.approx(part_of_rate, abs=5e-4)


def test_a_zero_gradient_moves_nothing_in_float32(one_step: Any) -> None:
    case = {"type": "adam", "epsilon": 1e-30}
    layer = {"type": "dense", "units": 1, "weight": [[0.5]], "use_bias": False}
    step = one_step([layer], "mean_squared_error", input_shape=(1,), rows=1, optimizer=case, dtype="float32")
    step.inputs[:], step.targets[:] = 0, 0
    step.loss()
    assert step.machine.parameters.tolist() == [0.5]
