from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.layers import MaxPool


def pooled(one_step: Any, items: np.ndarray, **fields: Any) -> np.ndarray:
    layers = [{"type": "max_pool", **fields}, {"type": "flatten"}]
    step = one_step(layers, "mean_squared_error", input_shape=items.shape[1:], rows=len(items))
    step.inputs[:] = items
    return step.evaluated()[1].reshape(len(items), *MaxPool(**fields).output_shape(items.shape[1:]))


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_the_largest_of_each_window_comes_out_and_what_is_left_over_is_not_looked_at(kernel_size: int, one_step: Any) -> None:
    items, k = np.random.default_rng(0).standard_normal((2, 3, 7, 8)), kernel_size
    found = pooled(one_step, items, kernel_size=k)
    assert found.shape == (2, 3, 7 // k, 8 // k)
    expected = items[:, :, : 7 // k * k, : 8 // k * k].reshape(2, 3, 7 // k, k, 8 // k, k).max(axis=(3, 5))
    np.testing.assert_array_equal(found, expected)


def test_padding_never_wins(one_step: Any) -> None:
    items = -np.ones((1, 1, 4))
    np.testing.assert_array_equal(pooled(one_step, items, kernel_size=3, padding="same", stride=1), -np.ones((1, 1, 4)))


@pytest.mark.parametrize(("kernel_size", "stride"), [(2, 2), (3, 3), (2, 1)])
def test_on_a_tie_the_first_takes_the_whole_gradient(kernel_size: int, stride: int, one_step: Any) -> None:
    """A dense layer makes equal inputs; all its gradient arrives at the first of each window."""
    equal = {"type": "dense", "units": 9, "weight": [[1.0]] * 9, "use_bias": False}
    layers = [equal, {"type": "reshape", "shape": [1, 3, 3]}, {"type": "max_pool", "kernel_size": kernel_size, "stride": stride}]
    step = one_step([*layers, {"type": "flatten"}], "mean_squared_error", input_shape=(1,))
    gradient = np.abs(step.gradient().reshape(3, 3))
    windows = (3 - kernel_size) // stride + 1
    expected = np.zeros((3, 3), bool)
    expected[: windows * stride : stride, : windows * stride : stride] = True
    np.testing.assert_array_equal(gradient > 0, expected)


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("at", range(4))
def test_a_nan_in_a_window_comes_out(kernel_size: int, at: int, one_step: Any) -> None:
    items = np.ones((1, 1, kernel_size, kernel_size))
    items[0, 0, at // 2, at % 2] = np.nan
    assert np.isnan(pooled(one_step, items, kernel_size=kernel_size)).all()


@pytest.mark.parametrize(
    ("fields", "shape", "says"),
    [
        (
            {"kernel_size": 2},
            (5,),
            "max_pool layer takes items of shape (channels, length) or (channels, height, width), got items of shape [5]",
        ),
        ({"kernel_size": 4}, (2, 3, 3), "reaches over 4 numbers"),
        ({"kernel_size": 2, "padding": 2}, (2, 3), "nothing but padding"),
        ({"kernel_size": 2**20, "padding": 2**19}, (2, 30), "takes a padding of at most 30, got 524,288"),
        ({"kernel_size": 2**20, "padding": "same"}, (2, 3), "takes a padding of at most 16, got 524,287"),
        ({"kernel_size": 2, "dilation": 5, "padding": 3}, (2, 4), "nothing but padding"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        MaxPool(**fields).output_shape(shape)
    assert says in refused.value.faults[0].message
