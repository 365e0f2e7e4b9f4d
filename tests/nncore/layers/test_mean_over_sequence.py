from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.layers import MeanOverSequence

MEAN = {"type": "mean_over_sequence"}
PADDED = {"type": "embedding", "vocabulary": 4, "dimensions": 1, "padding_index": 3, "weight": [[2.0], [4.0], [9.0], [100.0]]}


def means(one_step: Any, layers: list[dict[str, Any]], items: Any) -> np.ndarray:
    items = np.array(items, float)
    step = one_step(layers, "mean_squared_error", input_shape=items.shape[1:], rows=len(items))
    step.inputs[:] = items
    return step.evaluated()[1]


def test_the_mean_of_all_steps_comes_out(one_step: Any) -> None:
    items = np.random.default_rng(0).standard_normal((3, 5, 2))
    np.testing.assert_allclose(means(one_step, [MEAN], items), items.mean(axis=1), rtol=1e-14, atol=1e-16)


TOKENS = [[0, 1, 3], [3, 2, 3], [3, 3, 3]]


def test_padding_is_left_out_and_a_row_of_nothing_else_gives_0(one_step: Any) -> None:
    assert means(one_step, [PADDED, MEAN], TOKENS).tolist() == [[3.0], [9.0], [0.0]]


@pytest.mark.parametrize(
    "between",
    [
        {"type": "dropout", "rate": 0.5},
        {"type": "activation", "activation": "relu"},
        {"type": "activation", "activation": "softplus"},
        {"type": "layer_norm"},
        {"type": "residual", "layers": [{"type": "activation", "activation": "tanh"}]},
        {"type": "rnn", "units": 2, "output": "all"},
    ],
)
def test_padding_is_known_behind_layers_that_keep_the_steps(between: dict[str, Any], one_step: Any) -> None:
    assert means(one_step, [PADDED, between, MEAN], TOKENS)[2].tolist() == [0.0] * (2 if between["type"] == "rnn" else 1)


def test_behind_other_layers_every_step_counts(one_step: Any) -> None:
    found = means(one_step, [PADDED, {"type": "reshape", "shape": [3, 1]}, MEAN], TOKENS)
    np.testing.assert_allclose(found[:, 0], [106 / 3, 209 / 3, 100], rtol=1e-15)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 2), (2, 0)])
def test_items_that_are_no_sequences_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSpec, match="mean_over_sequence layer takes sequences"):
        MeanOverSequence().output_shape(shape)
