from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore.errors import InvalidSpec
from nncore.layers import LayerNorm
from nncore.network import NetworkSpec


def normalised(one_step: Any, items: np.ndarray, **fields: Any) -> np.ndarray:
    layers = [{"type": "layer_norm", **fields}, {"type": "flatten"}]
    step = one_step(layers, "mean_squared_error", input_shape=items.shape[1:], rows=len(items))
    step.inputs[:] = items
    return step.evaluated()[1].reshape(items.shape)


@pytest.mark.parametrize(("axes", "over"), [(1, (3,)), (2, (2, 3)), (3, (1, 2, 3))])
def test_each_item_has_mean_0_and_variance_1_over_its_last_axes(axes: int, over: tuple[int, ...], one_step: Any) -> None:
    items = np.random.default_rng(0).standard_normal((5, 3, 4, 6)) * 7 + 100
    found = normalised(one_step, items, axes=axes, epsilon=1e-12)
    np.testing.assert_allclose(found.mean(axis=over), 0, atol=1e-12)
    np.testing.assert_allclose(found.var(axis=over), 1, rtol=1e-10)


def test_given_weight_and_bias_are_applied(one_step: Any) -> None:
    items = np.random.default_rng(1).standard_normal((4, 3))
    plain, weight, bias = normalised(one_step, items, affine=False), [2.0, -1.0, 0.5], [0.0, 1.0, -3.0]
    np.testing.assert_allclose(normalised(one_step, items, weight=weight, bias=bias), plain * weight + bias, rtol=1e-14)


def test_equal_numbers_become_zeros(one_step: Any) -> None:
    np.testing.assert_array_equal(normalised(one_step, np.full((2, 4), 3.5)), 0)


def test_weight_and_bias_are_1_and_0_at_first_and_named_as_in_torch(one_step: Any) -> None:
    step = one_step([{"type": "layer_norm"}], "mean_squared_error", input_shape=(3,))
    assert step.network.parameters((3,)) == [("0.weight", (3,)), ("0.bias", (3,))]
    assert step.parameters.tolist() == [1, 1, 1, 0, 0, 0]
    assert NetworkSpec.model_validate({"layers": [{"type": "layer_norm", "affine": False}]}).parameters((3,)) == []


def test_no_penalty_and_no_decay_pull_at_it(one_step: Any) -> None:
    """Lion moves by the sign of the gradient alone, and by the decay: a million times the rate, if it were not spared."""
    layers = [{"type": "layer_norm", "axes": 2}, {"type": "flatten"}]
    lion = {"type": "lion", "learning_rate": 1e-6}
    decayed, plain = (
        one_step(layers, "mean_squared_error", input_shape=(2, 2), optimizer=lion | more) for more in ({"weight_decay": 1e6, "l2": 3.0}, {})
    )
    np.testing.assert_array_equal(decayed.gradient(), plain.gradient())
    np.testing.assert_array_equal(decayed.machine.parameters, plain.machine.parameters)


def test_a_nan_comes_out_as_one_in_its_own_item(one_step: Any) -> None:
    items = np.random.default_rng(2).standard_normal((3, 4))
    items[1, 2] = np.nan
    assert np.isnan(normalised(one_step, items)).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("fields", "shape", "pointer"),
    [
        ({"axes": 2}, (3,), "/axes"),
        ({}, (0,), "/axes"),
        ({"weight": [1.0, 2.0]}, (3,), "/weight"),
        ({"bias": [[1.0, 2.0, 3.0]]}, (3,), "/bias"),
        ({"affine": False, "bias": [1.0]}, (1,), "/bias"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(fields: dict[str, Any], shape: tuple[int, ...], pointer: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        LayerNorm(**fields).output_shape(shape)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert "layer_norm" in refused.value.faults[0].message


@pytest.mark.parametrize(
    "given", [[], [[]], [1.0, True], [1.0, "2"], [[1.0], [1.0, 2.0]], [[1.0], 2.0], [float("nan")], [10**400], [[[[[1.0]]]]]]
)
def test_a_weight_that_is_no_array_of_numbers_is_refused(given: list[Any]) -> None:
    with pytest.raises(ValidationError):
        LayerNorm.model_validate({"weight": given})
