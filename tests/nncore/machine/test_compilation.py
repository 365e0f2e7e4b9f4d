from __future__ import annotations

from typing import Any, get_args

import pytest

from nncore.layers import LayerSpec
from nncore.machine import compiled, warm
from nncore.machine.compilation import known_kernels
from nncore.machine.kernels import INTERPRETED


def test_the_kernels_of_every_layer_loss_and_optimizer_are_known(one_step: Any) -> None:
    known = set(known_kernels())
    assert {kernel.name.split(".")[1] for kernel in known} == {"layers", "losses", "optimizers"}
    for optimizer in ({"type": "sgd", "learning_rate": 0.1}, {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9}, {"type": "adam"}):
        for loss in ("mean_squared_error", "binary_cross_entropy", "softmax_cross_entropy"):
            step = one_step([{"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 2}], loss, optimizer=optimizer)
            assert set(step.machine.program.kernels()) <= known


def test_only_flatten_needs_no_kernel() -> None:
    without = {spec.__name__ for spec in get_args(get_args(LayerSpec)[0])} - {
        kernel.name.split(".")[2].capitalize() for kernel in known_kernels()
    }
    assert without == {"Flatten"}


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
def test_warming_tells_its_progress_and_is_remembered() -> None:
    told: list[tuple[int, int]] = []
    seconds = warm("float32", progress=lambda done, total: told.append((done, total)))
    total = len(known_kernels()) + 1
    assert told == [(done, total) for done in range(total + 1)]
    assert seconds >= 0
    assert compiled("float32")
    assert warm("float32") < 1  # nothing is left to do
