"""Diagnostics: the numbers are those of PyTorch and of plain arithmetic, layer by layer, and taken at reports only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.diagnostics import Diagnostics
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table.json import read_columns
from nncore.trainer import Trainer

RATE = 0.03
DENSE = {"type": "dense", "units": 4, "activation": "relu"}
LAST = {"type": "dense", "units": 1}
# Layers, the shape of an item, and under which name PyTorch has the parameters of each layer that has some.
NETWORKS: list[tuple[list[dict[str, Any]], tuple[int, ...], dict[str, str]]] = [
    ([DENSE, LAST], (4,), {"/layers/0": "0.", "/layers/1": "2."}),
    (
        [{"type": "conv2d", "filters": 3, "kernel_size": 2, "activation": "relu"}, {"type": "batch_norm"}, {"type": "flatten"}, LAST],
        (2, 3, 3),
        {"/layers/0": "0.", "/layers/1": "2.", "/layers/3": "4."},
    ),
    (
        [{"type": "lstm", "units": 3, "output": "all"}, {"type": "rnn", "units": 2, "nonlinearity": "relu"}, LAST],
        (4, 2),
        {"/layers/0": "0.", "/layers/1": "1.", "/layers/2": "2."},
    ),
    (
        [
            {"type": "residual", "layers": [{"type": "layer_norm"}, DENSE]},
            {"type": "parallel", "branches": [[DENSE], [{"type": "activation", "activation": "relu"}]]},
            LAST,
        ],
        (4,),
        {
            "/layers/0/layers/0": "0.layers.0.",
            "/layers/0/layers/1": "0.layers.1.",
            "/layers/1/branches/0/0": "1.branches.0.0.",
            "/layers/2": "2.",
        },
    ),
    (
        [{"type": "embedding", "vocabulary": 5, "dimensions": 3}, {"type": "gru", "units": 2}, LAST],
        (4,),
        {"/layers/0": "0.", "/layers/1": "1.", "/layers/2": "2."},
    ),
]


def trained(job: Any, layers: list[dict[str, Any]], x: np.ndarray, **more: Any) -> Trainer:
    """A trainer of one step over all rows."""
    columns = {"x": x.tolist(), "y": np.random.default_rng(5).random(len(x)).tolist()}
    fields = {"optimizer": {"type": "sgd", "learning_rate": RATE}, "batch_size": len(x), "epochs": 1, "seed": 3, "diagnostics": True}
    return Trainer(*job(columns, inputs=["x"], target="y", network=layers, shuffle=False, dtype="float64", **fields | more))


def norm(parts: Any) -> float:
    return float(np.sqrt(sum(float((np.asarray(part) ** 2).sum()) for part in parts)))


@pytest.mark.parametrize(("layers", "shape", "names"), NETWORKS)
def test_norms_and_ratios_are_those_of_pytorch(
    job: Any, torch_network: Any, layers: list[dict[str, Any]], shape: tuple[int, ...], names: dict[str, str]
) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    random = np.random.default_rng(1)
    whole = layers[0]["type"] == "embedding"
    x = random.integers(0, 5, (6, *shape)) if whole else random.standard_normal((6, *shape))
    trainer = trained(job, layers, x)
    model = torch_network(trainer.spec.network, shape, trainer._machine.parameters.copy())
    torch.nn.functional.mse_loss(model(torch.tensor(x, dtype=torch.float64)), torch.tensor(trainer.data.targets)).backward()
    before = {name: each.detach().numpy().copy() for name, each in model.named_parameters()}
    gradients = {name: each.grad.numpy() for name, each in model.named_parameters()}

    (report,) = list(trainer.run(call_seconds=10.0))
    told = report.diagnostics
    assert told is not None
    assert [layer["layer"] for layer in told["layers"] if layer["weight_norm"] is not None] == list(names)
    for numbers, prefix in [(told, ""), *((layer, names[layer["layer"]]) for layer in told["layers"] if layer["layer"] in names)]:
        mine = [name for name in before if name.startswith(prefix)]
        gradient = norm(gradients[name] for name in mine)
        assert numbers["gradient_norm"] == pytest.approx(gradient, rel=1e-9)
        assert numbers["weight_norm"] == pytest.approx(norm(before[name] - RATE * gradients[name] for name in mine), rel=1e-9)
        assert numbers["update_ratio"] == pytest.approx(RATE * gradient / norm(before[name] for name in mine), rel=1e-6)


def dead(shape: tuple[int, ...], dead_units: list[int]) -> list[Any]:
    bias = np.full(shape, 100.0)
    bias[..., dead_units] = -100.0
    return list(bias.tolist())


FLAT, CONV, RELU = {"type": "flatten"}, {"type": "conv1d", "filters": 4, "kernel_size": 2}, {"type": "activation", "activation": "relu"}
NORM = {"type": "batch_norm", "affine": False, "running_mean": [0.0] * 4, "running_var": [1.0] * 4}
RNN = {"type": "rnn", "units": 2, "nonlinearity": "relu", "output": "all"}


@pytest.mark.parametrize(
    ("layers", "shape", "expected"),
    [
        ([{**DENSE, "bias": dead((4,), [1])}, LAST], (3,), {"/layers/0": 0.25}),
        ([{**DENSE, "activation": "tanh", "bias": dead((4,), [1])}, LAST], (3,), {}),
        ([{**CONV, "activation": "relu", "bias": dead((4,), [0, 3])}, FLAT, LAST], (1, 5), {"/layers/0": 0.5}),
        ([{**CONV, "bias": dead((4,), [2])}, NORM, RELU, FLAT, LAST], (1, 5), {"/layers/2": 0.25}),
        ([{**RNN, "bias_ih": dead((2,), [0])}, FLAT, LAST], (3, 2), {"/layers/0": 0.5}),
        (
            [{"type": "residual", "layers": [{**DENSE, "bias": dead((4,), [0, 1, 2, 3])}]}, {**DENSE, "bias": dead((4,), [])}, LAST],
            (4,),
            {"/layers/0/layers/0": 1.0, "/layers/1": 0.0},
        ),
    ],
)
def test_dead_units_are_those_that_answer_nothing_for_any_row(
    job: Any, layers: list[dict[str, Any]], shape: tuple[int, ...], expected: dict[str, float]
) -> None:
    still = {"optimizer": {"type": "sgd", "learning_rate": 1e-12}}
    trainer = trained(job, layers, np.random.default_rng(2).standard_normal((8, *shape)), **still)
    (report,) = list(trainer.run(call_seconds=10.0))
    assert report.diagnostics is not None
    shares = {layer["layer"]: layer["dead_share"] for layer in report.diagnostics["layers"] if layer["dead_share"] is not None}
    assert shares == expected


def test_the_gradient_is_told_as_it_was_before_it_was_clipped(job: Any) -> None:
    x = np.random.default_rng(1).standard_normal((6, 3))
    plain, clipped = (
        next(trained(job, [LAST], x, optimizer={"type": "sgd", "learning_rate": RATE, **clip}).run(10.0)).diagnostics
        for clip in ({}, {"clip_norm": 1e-3})
    )
    assert plain is not None
    assert clipped is not None
    assert plain["gradient_norm"] == clipped["gradient_norm"] > 1e-3
    assert clipped["update_ratio"] == pytest.approx(plain["update_ratio"] * 1e-3 / plain["gradient_norm"], rel=1e-2)


def test_weights_that_were_all_zero_have_no_ratio(job: Any) -> None:
    layers = [{"type": "dense", "units": 1, "weight": [[0.0, 0.0]], "use_bias": False}]
    report = next(trained(job, layers, np.random.default_rng(1).standard_normal((6, 2))).run(10.0))
    assert report.diagnostics is not None
    assert report.diagnostics["update_ratio"] is None
    assert report.diagnostics["weight_norm"] > 0


def test_steps_without_a_report_cost_nothing(job: Any, blobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    before = Diagnostics.before

    def counted(self: Diagnostics, *arguments: Any) -> None:
        looked_at.append(self._machine.step + 1)
        before(self, *arguments)

    monkeypatch.setattr(Diagnostics, "before", counted)
    fields = {"inputs": ["x"], "target": "y", "network": [DENSE, {"type": "dense", "units": 3}], "batch_size": 5, "epochs": 2, "seed": 1}
    list(Trainer(*job(blobs, **fields, report_every_steps=4)).run())
    assert looked_at == []
    reports = list(Trainer(*job(blobs, **fields, report_every_steps=4, diagnostics=True)).run())
    assert looked_at == [4, 8, 10, 12, 16, 20]
    assert [report.step for report in reports if report.diagnostics is not None] == looked_at


def test_reports_have_an_end(job: Any, blobs: Any) -> None:
    table = read_columns(blobs)

    def refused(**fields: Any) -> str:
        layers = [DENSE] * 99 + [{"type": "dense", "units": 3}]
        spec = {"inputs": ["x"], "target": "y", "network": {"layers": layers}, "batch_size": 50, "seed": 1, **fields}
        with pytest.raises(Exception, match="reports") as caught:
            resolve(TrainingSpec.model_validate(spec), table.info(), table.rows, Limits())
        (fault,) = caught.value.faults
        assert (fault.pointer, fault.code) == ("/report_every_steps", "too_many_reports")
        return str(fault.expected)

    assert refused(epochs=10_001, report_every_steps=1) == "at least 2"
    assert refused(epochs=2_001, report_every_steps=1, diagnostics=True) == "at least 2"
