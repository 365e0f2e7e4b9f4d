"""The gradient check passes what is right, and finds what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.explain.gradient_check import gradient_check
from nncore.losses import LossSpec
from nncore.machine.machine import Machine
from nncore.network import NetworkSpec
from tests.nncore.test_gradients import NETWORKS, input_shape

LOSSES = {"softmax_cross_entropy": {"label_smoothing": 0.1}, "mean_squared_error": {}}


def report(name: str, loss: str = "softmax_cross_entropy", **options: Any) -> Any:
    network, random = NetworkSpec.model_validate({"layers": NETWORKS[name]}), np.random.default_rng(4)
    inputs = random.standard_normal((5, *input_shape(name)))
    outputs = network.output_shape(input_shape(name))[0]
    expected = random.integers(0, outputs, 5) if loss == "softmax_cross_entropy" else random.random((5, outputs))
    spec = TypeAdapter(LossSpec).validate_python({"type": loss, **LOSSES[loss]})
    return gradient_check(network, spec, inputs, expected, **options)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["dense-0", "dropout-0", "conv2d-1", "lstm-2", "batch_norm-0", "parallel-0", "residual-0"])
def test_right_gradients_pass(name: str, loss: str) -> None:
    found = report(name, loss)
    assert found.relative_error < 1e-7
    assert found.loss > 0
    assert all(each.checked == min(100, int(np.prod(each.shape))) for each in found.parameters)
    assert "0.weight" in str(found) or "weight_ih" in str(found)


def test_a_wrong_gradient_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Machine.run_steps

    def wrong(self: Machine, *arguments: Any) -> int:
        done = right(self, *arguments)
        self.gradients[self.program.layout.parameters["2.bias"].at.offset] *= 1.01
        return done

    monkeypatch.setattr(Machine, "run_steps", wrong)
    found = {each.name: each.relative_error for each in report("dense-0").parameters}
    assert found.pop("2.bias") > 1e-4
    assert max(found.values()) < 1e-7


def test_it_may_be_checked_at_given_parameters_and_in_part() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 1}]})
    spec = TypeAdapter(LossSpec).validate_python({"type": "mean_squared_error"})
    parameters = {"0.weight": np.array([[2.0, 3.0, 5.0]]), "0.bias": np.array([1.0])}
    found = gradient_check(network, spec, np.array([[1.0, 1.0, 1.0]]), np.array([[0.0]]), parameters=parameters, most_of_each=2)
    assert found.loss == 121.0  # (2 + 3 + 5 + 1)^2, whose slope along every weight is 22
    assert [(each.checked, round(each.largest_gradient, 6)) for each in found.parameters] == [(2, 22.0), (1, 22.0)]


def test_the_same_report_every_time() -> None:
    assert report("lstm-0", most_of_each=5) == report("lstm-0", most_of_each=5)
    assert report("lstm-0", most_of_each=5, seed=1) != report("lstm-0", most_of_each=5)


def test_a_check_where_nothing_is_finite_says_so() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 1}]})
    spec = TypeAdapter(LossSpec).validate_python({"type": "mean_squared_error"})
    with pytest.raises(ArithmeticError, match="loss is not a finite number"):
        gradient_check(
            network, spec, np.array([[1e200]]), np.array([[0.0]]), parameters={"0.weight": np.full((1, 1), 1e200), "0.bias": np.zeros(1)}
        )
