from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.layers import GlobalPool
from nncore.network import NetworkSpec


def pooled(one_step: Any, items: np.ndarray, kind: str) -> np.ndarray:
    step = one_step([{"type": "global_pool", "kind": kind}], "mean_squared_error", input_shape=items.shape[1:], rows=len(items))
    step.inputs[:] = items
    return step.evaluated()[1]


@pytest.mark.parametrize("shape", [(3, 7), (3, 5, 4), (1, 1)])
def test_one_number_of_each_channel_comes_out(shape: tuple[int, ...], one_step: Any) -> None:
    items = np.random.default_rng(0).standard_normal((4, *shape))
    axes = tuple(range(2, items.ndim))
    np.testing.assert_array_equal(pooled(one_step, items, "max"), items.max(axis=axes))
    np.testing.assert_allclose(pooled(one_step, items, "average"), items.mean(axis=axes), rtol=1e-14, atol=1e-16)


def test_on_a_tie_the_first_takes_the_whole_gradient(one_step: Any) -> None:
    equal = {"type": "dense", "units": 6, "weight": [[1.0]] * 6, "use_bias": False}
    layers = [equal, {"type": "reshape", "shape": [2, 3]}, {"type": "global_pool", "kind": "max"}]
    gradient = one_step(layers, "mean_squared_error", input_shape=(1,)).gradient().reshape(2, 3)
    assert (np.abs(gradient) > 0).tolist() == [[True, False, False]] * 2


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("at", range(3))
def test_a_nan_comes_out(kind: str, at: int, one_step: Any) -> None:
    items = np.ones((1, 2, 3))
    items[0, 1, at] = np.nan
    assert np.isnan(pooled(one_step, items, kind)).tolist() == [[False, True]]


def test_pool_and_flatten_are_two_modules_as_in_torch() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "global_pool", "kind": "max"}, {"type": "dense", "units": 1}]})
    assert [info.name for info in network.parameters((3, 4, 4))] == ["2.weight", "2.bias"]


@pytest.mark.parametrize("shape", [(5,), (0, 3), (3, 0)])
def test_items_without_planes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSpec, match="global_pool layer takes items of shape"):
        GlobalPool(kind="max").output_shape(shape)
