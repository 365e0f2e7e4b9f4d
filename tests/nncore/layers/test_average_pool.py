from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.layers import AveragePool


def pooled(one_step: Any, items: np.ndarray, **fields: Any) -> np.ndarray:
    layers = [{"type": "average_pool", **fields}, {"type": "flatten"}]
    step = one_step(layers, "mean_squared_error", input_shape=items.shape[1:], rows=len(items))
    step.inputs[:] = items
    return step.evaluated()[1].reshape(len(items), *AveragePool(**fields).output_shape(items.shape[1:]))


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_the_mean_of_each_window_comes_out_and_what_is_left_over_is_not_looked_at(kernel_size: int, one_step: Any) -> None:
    items, k = np.random.default_rng(0).standard_normal((2, 3, 7, 8)), kernel_size
    found = pooled(one_step, items, kernel_size=k)
    expected = items[:, :, : 7 // k * k, : 8 // k * k].reshape(2, 3, 7 // k, k, 8 // k, k).mean(axis=(3, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize(("include_pad", "ends"), [(True, 2 / 3), (False, 1.0)])
def test_padding_counts_as_zeros_or_not_at_all(include_pad: bool, ends: float, one_step: Any) -> None:
    found = pooled(one_step, np.ones((1, 1, 4)), kernel_size=3, padding="same", stride=1, count_include_pad=include_pad)
    np.testing.assert_allclose(found[0, 0], [ends, 1, 1, ends], rtol=1e-15)


@pytest.mark.oracle
@pytest.mark.parametrize("include_pad", [True, False])
@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [(2, 2, 0), (3, 1, 1), ([3, 2], [2, 1], [1, 1])])
def test_the_pool_of_torch_gives_the_same(include_pad: bool, kernel_size: Any, stride: Any, padding: Any, one_step: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    items = np.random.default_rng(1).standard_normal((2, 3, 7, 8))
    found = pooled(one_step, items, kernel_size=kernel_size, stride=stride, padding=padding, count_include_pad=include_pad)
    expected = torch.nn.AvgPool2d(kernel_size, stride, padding, count_include_pad=include_pad)(torch.tensor(items))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-13, atol=1e-15)


def test_padding_is_counted_as_torch_does_unless_told_otherwise() -> None:
    assert AveragePool(kernel_size=2).count_include_pad


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_a_nan_in_a_window_comes_out(kernel_size: int, one_step: Any) -> None:
    items = np.ones((1, 1, kernel_size, kernel_size))
    items[0, 0, 1, 0] = np.nan
    assert np.isnan(pooled(one_step, items, kernel_size=kernel_size)).all()


@pytest.mark.parametrize(
    ("fields", "shape", "says"),
    [
        ({"kernel_size": 2}, (5,), "average_pool layer takes items of shape (channels, length) or (channels, height, width), got items of"),
        ({"kernel_size": 4}, (2, 3, 3), "an average_pool layer whose kernel reaches over 4 numbers"),
        ({"kernel_size": 2, "padding": 2}, (2, 3), "nothing but padding"),
        ({"kernel_size": 2**20, "padding": 2**19}, (2, 30), "takes a padding of at most 30, got 524,288"),
        ({"kernel_size": 2**20, "padding": "same"}, (2, 3), "takes a padding of at most 16, got 524,287"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        AveragePool(**fields).output_shape(shape)
    assert says in refused.value.faults[0].message
