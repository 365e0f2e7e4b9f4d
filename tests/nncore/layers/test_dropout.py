from __future__ import annotations

from typing import Any

import numpy as np
import pytest

DROPOUT = {"type": "dropout", "rate": 0.3}
IDENTITY = {"type": "dense", "units": 1, "weight": [[1.0] * 1000], "use_bias": False}


def dropped(one_step: Any, step_number: int = 0, seed: int = 3, layers: int = 1, rows: int = 200) -> np.ndarray:
    """(rows, 1000): what dropout made of ones. It is read from the gradient of the layer before, whose weight is the identity."""
    step = one_step([DROPOUT] * layers + [IDENTITY], "mean_squared_error", input_shape=(1000,), rows=rows, seed=seed)
    step.inputs[:] = 1
    plan = step.machine.program.training
    step.machine.step = step_number
    step.machine.run_steps(step.optimizer.scalars(np.arange(1)), np.zeros(2), step.rows, np.arange(rows), 0)
    at = plan.resolve(plan.forward[layers - 1][2])
    return step.machine.arena[at : at + rows * 1000].reshape(rows, 1000).copy()


def test_the_rate_is_zeroed_and_the_rest_scaled_so_that_the_mean_stays(one_step: Any) -> None:
    passed = dropped(one_step)
    assert set(np.unique(passed)) == {0.0, 1 / 0.7}
    assert (passed == 0).mean() == pytest.approx(0.3, abs=0.004)
    assert passed.mean() == pytest.approx(1, abs=0.006)
    assert (passed == 0).mean(axis=0).std() == pytest.approx((0.3 * 0.7 / 200) ** 0.5, rel=0.1)  # columns are independent
    assert (passed == 0).mean(axis=1).std() == pytest.approx((0.3 * 0.7 / 1000) ** 0.5, rel=0.2)  # and so are rows


def test_the_choice_depends_on_seed_and_step_and_nothing_else(one_step: Any) -> None:
    first = dropped(one_step)
    np.testing.assert_array_equal(dropped(one_step), first)
    for other in (dropped(one_step, step_number=1), dropped(one_step, seed=4)):
        assert ((other == 0) == (first == 0)).mean() == pytest.approx(0.3**2 + 0.7**2, abs=0.01)


def test_two_dropout_layers_choose_independently(one_step: Any) -> None:
    assert (dropped(one_step, layers=2) == 0).mean() == pytest.approx(1 - 0.7**2, abs=0.005)


def test_an_evaluation_drops_nothing(one_step: Any) -> None:
    dense = {"type": "dense", "units": 3}
    with_dropout, without = (one_step(layers, "mean_squared_error") for layers in ([DROPOUT, dense], [dense]))
    np.testing.assert_array_equal(with_dropout.evaluated()[1], without.evaluated()[1])
