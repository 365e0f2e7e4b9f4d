"""Every optimizer over 50 steps: against its formula in numpy, and against torch.optim. A new one without a case fails."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.optimizers import OptimizerSpec

LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}]
STEPS = 50

CASES: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "learning_rate": 0.3},
    "sgd-momentum": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "sgd-nesterov": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
    "sgd-penalties": {"type": "sgd", "learning_rate": 0.3, "l1": 0.01, "l2": 0.1},
    "sgd-l2-of-biases": {"type": "sgd", "learning_rate": 0.3, "l2": 0.1, "decay_biases": True},
    "sgd-clipped": {"type": "sgd", "learning_rate": 0.5, "clip_norm": 0.2},
    "sgd-clipped-values": {"type": "sgd", "learning_rate": 0.5, "clip_value": 0.03},
    "sgd-scheduled": {"type": "sgd", "learning_rate": 0.5, "schedule": {"type": "step", "every_steps": 20, "warmup_steps": 7}},
    "sgd-maximised": {"type": "sgd", "learning_rate": 0.02, "momentum": 0.5, "l2": 0.1, "maximize": True},
    "adagrad": {"type": "adagrad", "learning_rate": 0.1},
    "adagrad-initial": {"type": "adagrad", "learning_rate": 0.1, "initial_sum": 0.1, "epsilon": 1e-4},
    "rmsprop": {"type": "rmsprop"},
    "rmsprop-momentum": {"type": "rmsprop", "alpha": 0.9, "momentum": 0.8, "epsilon": 1e-3},
    "rmsprop-centered": {"type": "rmsprop", "centered": True, "momentum": 0.5, "epsilon": 1e-4},
    "lion": {"type": "lion", "learning_rate": 0.01},
    "lion-decay": {"type": "lion", "learning_rate": 0.01, "weight_decay": 0.5, "beta1": 0.5, "beta2": 0.8},
    "adamw": {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.5},
    "adamw-biases": {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.5, "decay_biases": True},
    "adamw-scheduled": {"type": "adamw", "learning_rate": 0.02, "weight_decay": 0.5, "schedule": {"type": "cosine", "steps": 60}},
    "adamw-maximised": {"type": "adamw", "learning_rate": 0.01, "weight_decay": 0.5, "maximize": True},
    "adam": {"type": "adam", "learning_rate": 0.01},
    "adam-other-betas": {"type": "adam", "learning_rate": 0.01, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3},
    "adam-hat": {"type": "adam", "learning_rate": 0.01, "epsilon_mode": "hat", "epsilon": 1e-3},
}


def test_every_optimizer_has_a_trajectory() -> None:
    of_its_own = {"lbfgs"}  # looks several times before each update: test_lbfgs.py
    assert {case["type"] for case in CASES.values()} | of_its_own == {
        spec.model_fields["type"].default for spec in get_args(get_args(OptimizerSpec)[0])
    }


# Which parameters of LAYERS are weights; the others are biases.
WEIGHTS = np.repeat([True, False, True, False], [24, 6, 18, 3])


def updates(case: dict[str, Any], gradients: list[np.ndarray], path: np.ndarray) -> list[np.ndarray]:
    """The formula, step after step: what is taken from the parameters. gradients: as they came to the formula, with penalty, clipped."""
    optimizer = TypeAdapter(OptimizerSpec).validate_python(case)
    found, first, second, buffer = [], *(np.zeros_like(gradients[0]) for _ in range(3))
    rates = optimizer.learning_rate * optimizer.schedule.factors(np.arange(len(gradients)))
    decayed = getattr(optimizer, "weight_decay", 0.0) * (WEIGHTS | optimizer.decay_biases)
    for t, (g, rate, p) in enumerate(zip(gradients, rates, path[:-1], strict=True), start=1):
        if case["type"] == "sgd":
            first = case.get("momentum", 0) * first + g
            found.append(rate * (g + case["momentum"] * first if case.get("nesterov") else first))
        elif case["type"] == "adagrad":
            first = first + g * g
            found.append(rate * g / (np.sqrt(optimizer.initial_sum + first) + optimizer.epsilon))
        elif case["type"] == "rmsprop":
            first = optimizer.alpha * first + (1 - optimizer.alpha) * g * g
            second = optimizer.alpha * second + (1 - optimizer.alpha) * g
            spread = np.maximum(first - second**2, 0) if optimizer.centered else first
            buffer = optimizer.momentum * buffer + g / (np.sqrt(spread) + optimizer.epsilon)
            found.append(rate * buffer)
        elif case["type"] == "lion":
            found.append(rate * (np.sign(optimizer.beta1 * first + (1 - optimizer.beta1) * g) + decayed * p))
            first = optimizer.beta2 * first + (1 - optimizer.beta2) * g
        else:
            beta1, beta2, epsilon = case.get("beta1", 0.9), case.get("beta2", 0.999), case.get("epsilon", 1e-8)
            first, second = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g * g
            if case.get("epsilon_mode") == "hat":
                move = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t) * first / (np.sqrt(second) + epsilon)
            else:
                move = rate * (first / (1 - beta1**t)) / (np.sqrt(second / (1 - beta2**t)) + epsilon)
            found.append(move + rate * decayed * p)
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
    np.testing.assert_allclose(path[:-1] - path[1:], updates(CASES[name], gradients, path), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_a_float32_trajectory_stays_float32_and_close(name: str, one_step: Any) -> None:
    _, path, gradients = trajectory(one_step, CASES[name], "float32")
    assert path.dtype == np.float32
    exact = updates(CASES[name], [gradient.astype(np.float64) for gradient in gradients], path.astype(np.float64))
    np.testing.assert_allclose(path[:-1] - path[1:], exact, atol=2e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [name for name in CASES if name != "adam-hat" and not name.startswith("lion")])
def test_the_trajectory_is_that_of_torch(name: str, one_step: Any, torch_network: Any) -> None:
    import torch

    case = CASES[name]
    step, path, _ = trajectory(one_step, case)
    model = torch_network(step.network, (4,), path[0])
    spec, weights = step.optimizer, [each for each in model.parameters() if each.ndim > 1]
    biases = [each for each in model.parameters() if each.ndim == 1]
    decay = getattr(spec, "weight_decay", 0.0) or spec.l2
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": decay if spec.decay_biases else 0.0}]
    if case["type"] == "sgd":
        optimizer = torch.optim.SGD(groups, spec.learning_rate, spec.momentum, nesterov=spec.nesterov, maximize=spec.maximize)
    elif case["type"] == "adagrad":
        optimizer = torch.optim.Adagrad(groups, spec.learning_rate, initial_accumulator_value=spec.initial_sum, eps=spec.epsilon)
    elif case["type"] == "rmsprop":
        fields = {"alpha": spec.alpha, "eps": spec.epsilon, "momentum": spec.momentum, "centered": spec.centered}
        optimizer = torch.optim.RMSprop(groups, spec.learning_rate, **fields)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[case["type"]]
        optimizer = kind(groups, spec.learning_rate, (spec.beta1, spec.beta2), spec.epsilon, maximize=spec.maximize)
    for number, expected in enumerate(path[1:]):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(step.inputs)), torch.tensor(step.labels))
        (loss + spec.l1 * sum(each.abs().sum() for each in weights)).backward()
        if spec.clip_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
        if spec.clip_value:
            torch.nn.utils.clip_grad_value_(model.parameters(), spec.clip_value)
        for group in optimizer.param_groups:
            group["lr"] = spec.learning_rate * spec.schedule.factors(np.array([number]))[0]
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


def test_a_clipped_gradient_is_no_longer_than_asked_even_where_its_squares_overflow(one_step: Any) -> None:
    layers = [{"type": "dense", "units": 3, "weight": [[1e17] * 2] * 3, "use_bias": False}]
    case = {"type": "sgd", "learning_rate": 1.0, "clip_norm": 0.5}
    step = one_step(layers, "mean_squared_error", input_shape=(2,), rows=1, optimizer=case, dtype="float32")
    step.inputs[:] = 0.01
    step.loss()
    assert np.linalg.norm(step.machine.gradients) == pytest.approx(0.5, rel=1e-6)


def test_a_small_gradient_is_not_clipped(one_step: Any) -> None:
    for clipping in ({"clip_norm": 100.0}, {"clip_value": 100.0}):
        free, clipped = (one_step(LAYERS, "softmax_cross_entropy", optimizer=CASES["sgd"] | more) for more in ({}, clipping))
        assert clipped.gradient().tobytes() == free.gradient().tobytes()


def test_a_penalty_that_is_not_finite_is_seen_before_the_update(one_step: Any) -> None:
    layers = [{"type": "dense", "units": 3, "weight": [[1e17] * 2] * 3, "use_bias": False}]
    case = {"type": "sgd", "learning_rate": 1e-3, "l2": 1e6}
    step = one_step(layers, "mean_squared_error", input_shape=(2,), rows=1, optimizer=case, dtype="float32")
    step.inputs[:] = 0
    with pytest.raises(ArithmeticError, match="gradient"):
        step.loss()
    np.testing.assert_array_equal(step.machine.parameters, np.float32(1e17))
