from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from nncore.layers import LayerSpec
from nncore.losses import MeanSquaredError, NegativeLogLikelihood, SoftmaxCrossEntropy
from nncore.machine import compilation, compiled, warm
from nncore.machine.compilation import known_kernels
from nncore.machine.kernels import INTERPRETED, Kernel
from nncore.machine.program import Program
from nncore.minimize.update import row_loop
from nncore.network import NetworkSpec
from nncore.optimizers import OptimizerSpec


def test_the_kernels_of_every_layer_loss_and_optimizer_are_known(one_step: Any) -> None:
    known = set(known_kernels())
    assert {kernel.name.split(".")[1] for kernel in known} == {"augment", "explain", "layers", "losses", "optimizers"}
    for optimizer in ({"type": "sgd", "learning_rate": 0.1}, {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9}, {"type": "adam"}):
        for loss in ("mean_squared_error", "binary_cross_entropy", "softmax_cross_entropy"):
            step = one_step([{"type": "dropout", "rate": 0.5}, {"type": "dense", "units": 2}], loss, optimizer=optimizer)
            assert set(step.machine.program.kernels()) <= known


def test_only_layers_that_move_no_number_need_no_kernel() -> None:
    specs = get_args(get_args(LayerSpec)[0])
    without = {
        spec.__name__ for spec in specs if not any(isinstance(value, Kernel) for value in vars(sys.modules[spec.__module__]).values())
    }
    assert without == {"Flatten", "Reshape"}


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
def test_warming_tells_its_progress_and_is_remembered() -> None:
    told: list[tuple[int, int]] = []
    seconds = warm("float32", progress=lambda done, total: told.append((done, total)))
    total = len(known_kernels()) + 1
    assert told == [(done, total) for done in range(total + 1)]
    assert seconds >= 0
    assert compiled("float32")
    assert warm("float32") < 1  # nothing is left to do


def test_minimize_is_ready_too_where_everything_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "known_kernels", list)
    monkeypatch.setattr(compilation, "_mark", lambda dtype: tmp_path / dtype)
    row_loop.cache_clear()
    warm("float32")
    assert row_loop.cache_info().currsize == 0
    warm("float64")
    assert row_loop.cache_info().currsize == 1


def test_what_a_plan_takes_beside_its_layers_is_compiled_ahead_too() -> None:
    optimizer = TypeAdapter(OptimizerSpec).validate_python(
        {"type": "adamw", "maximize": True, "average_decay": 0.9, "l1": 0.1, "clip_norm": 1.0}
    )
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 2}]})
    for loss in (SoftmaxCrossEntropy(class_weights=[1.0, 2.0]), NegativeLogLikelihood(), MeanSquaredError()):
        program = Program(network, (3,), loss=loss, optimizer=optimizer, batch_size=4, accumulate=2, weighted=True)
        assert set(program.kernels()) <= set(known_kernels())


@pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")
def test_two_processes_compile_from_both_ends(tmp_path: Path) -> None:
    """With three kernels instead of all: what the two processes tell is one count, and afterwards everything is found."""
    few = (
        "import nncore.machine.compilation as c, nncore.optimizers.sgd as sgd\n"
        "c.known_kernels = lambda: [sgd.sgd, sgd.momentum]; c.usual_kernels = lambda: [sgd.sgd]\n"
    )
    (tmp_path / "sitecustomize.py").write_text(few)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    environment = {**os.environ, "SANKOFA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": paths}

    def run(*options: str) -> list[dict[str, float]]:
        command = [sys.executable, "-m", "nncore.machine", *options]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=True).stdout
        return [json.loads(line) for line in printed.splitlines()]

    assert len(run("--usual")) > 1
    assert run("--usual") == [{"seconds": 0.0}], "nothing is counted again"
    *told, last = run()
    assert [each["total"] for each in told] == [6] * len(told)
    assert [each["done"] for each in told] == sorted(each["done"] for each in told)
    assert told[-1]["done"] == 6
    assert last["seconds"] > 0
    assert run() == [{"seconds": 0.0}]
    assert run("--usual") == [{"seconds": 0.0}], "they are among all"
    assert len(list((tmp_path / "cache").rglob("sgd.sgd-*.nbc"))) == 2
