from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.artifact import Artifact
from nncore.errors import InvalidSpec
from nncore.formats import safetensors
from nncore.layers import BatchNorm
from nncore.machine.machine import Rows
from nncore.network import NetworkSpec
from nncore.predictor import Predictor
from nncore.trainer import Trainer

SHAPES = [(4,), (3, 5), (2, 3, 4)]
SGD = {"type": "sgd", "learning_rate": 0.1}


def step_of(one_step: Any, shape: tuple[int, ...], dtype: str = "float64", rows: int = 6, **fields: Any) -> Any:
    layers = [{"type": "batch_norm", **fields}, {"type": "flatten"}]
    return one_step(layers, "mean_squared_error", input_shape=shape, rows=rows, dtype=dtype, optimizer=SGD)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fields", [{}, {"momentum": 0.3, "epsilon": 0.01, "affine": False}])
def test_training_and_use_are_those_of_torch_over_several_steps(
    shape: tuple[int, ...], fields: dict[str, Any], one_step: Any, torch_network: Any
) -> None:
    import torch

    layers = [{"type": "batch_norm", **fields}, {"type": "flatten"}, {"type": "dense", "units": 2}]
    step = one_step(layers, "mean_squared_error", input_shape=shape, rows=10, optimizer=SGD)
    step.inputs[:] = step.inputs * 3 + 1
    model = torch_network(step.network, shape, step.parameters)
    optimizer, scalars = torch.optim.SGD(model.parameters(), 0.1), step.optimizer.scalars(np.arange(12))
    step.machine.run_steps(scalars, np.zeros(2), step.rows, np.tile(np.arange(10), 12), 0)
    inputs, targets = torch.tensor(step.inputs), torch.tensor(step.targets)
    for _ in range(12):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    expected = [*model.parameters(), *(buffer for name, buffer in model.named_buffers() if "running" in name)]
    np.testing.assert_allclose(
        step.machine.learned, torch.cat([each.ravel() for each in expected]).detach().numpy(), rtol=1e-10, atol=1e-13
    )
    model.eval()
    np.testing.assert_allclose(step.evaluated()[1], model(inputs).detach().numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.oracle
def test_every_batch_of_an_accumulated_step_moves_the_running_statistics(job: Any, blobs: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    spec = {
        "batch_size": 8,
        "accumulate": 3,
        "shuffle": False,
        "dtype": "float64",
        "epochs": 2,
        "optimizer": SGD | {"learning_rate": 1e-300},
    }
    trainer = Trainer(*job(blobs, inputs=["x"], target="y", network=[{"type": "batch_norm"}, {"type": "dense", "units": 3}], **spec))
    list(trainer.run())
    model = torch.nn.BatchNorm1d(2).double()
    for first in [*range(0, 50, 8)] * 2:
        model(torch.tensor(blobs["x"][first : first + 8], dtype=torch.float64))
    found = trainer.artifact("last").parameters
    np.testing.assert_allclose(found["0.running_mean"], model.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(found["0.running_var"], model.running_var.numpy(), rtol=1e-12)


def test_each_feature_has_mean_0_and_variance_1_over_the_batch(one_step: Any) -> None:
    """Through the loss: with targets of 0, the mean of y^2 is that variance."""
    step = step_of(one_step, (2, 3, 4), epsilon=1e-12)
    step.inputs[:] = step.inputs * 50 + 7
    step.targets[:] = 0
    step.rows = Rows.of(step.inputs, np.zeros((6, 24)))
    assert step.loss() == pytest.approx(1, rel=1e-9)


def test_in_use_the_running_statistics_stand_in_place_of_the_batchs(one_step: Any) -> None:
    given = {"weight": [2.0, 1.0], "bias": [0.5, 0.0], "running_mean": [1.0, -1.0], "running_var": [4.0, 0.25]}
    step = step_of(one_step, (2, 3), epsilon=1e-12, **given)
    mean, deviation = np.array([1.0, -1.0])[:, None], np.array([2.0, 0.5])[:, None]
    expected = (step.inputs - mean) / deviation * np.array([2.0, 1.0])[:, None] + np.array([0.5, 0.0])[:, None]
    np.testing.assert_allclose(step.evaluated()[1].reshape(6, 2, 3), expected, rtol=1e-9)


def test_a_step_that_diverges_leaves_the_running_statistics_as_they_were(one_step: Any) -> None:
    step = step_of(one_step, (3,))
    step.inputs[2, 1] = np.inf
    before = step.machine.learned.copy()
    with pytest.raises(ArithmeticError):
        step.loss()
    np.testing.assert_array_equal(step.machine.learned, before)


def test_a_variance_beyond_float32_is_seen(one_step: Any) -> None:
    step = step_of(one_step, (3,), dtype="float32")
    step.inputs[:] *= 1e25
    with pytest.raises(ArithmeticError):
        step.loss()


def test_names_are_those_of_torch_and_statistics_stand_behind_the_parameters() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "batch_norm"}, {"type": "flatten"}, {"type": "dense", "units": 1}]})
    assert [info.name for info in network.parameters((2, 3))] == [
        *("0.weight", "0.bias", "2.weight", "2.bias"),
        *("0.running_mean", "0.running_var"),
    ]


NETWORK = [{"type": "dense", "units": 3, "activation": "tanh"}, {"type": "batch_norm"}, {"type": "dense", "units": 3}]


def trained(job: Any, blobs: Any, **spec: Any) -> Trainer:
    trainer = Trainer(*job(blobs, inputs=["x"], target="y", network=NETWORK, batch_size=8, epochs=6, seed=2, **spec))
    list(trainer.run())
    return trainer


def statistics_of(artifact: Artifact) -> np.ndarray:
    return np.concatenate([artifact.parameters["2.running_mean"], artifact.parameters["2.running_var"]])


def test_the_best_snapshot_holds_the_statistics_of_its_step(job: Any, blobs: Any) -> None:
    resolved, data = job(
        blobs,
        inputs=["x"],
        target="y",
        network=NETWORK,
        batch_size=8,
        epochs=12,
        seed=2,
        optimizer={"type": "sgd", "learning_rate": 3.0},  # so wild that the last epoch is not the best
        validation={"fraction": 0.2},
    )
    trainer, seen = Trainer(resolved, data), {}
    for report in trainer.run():
        if report.epoch_ended:
            seen[report.epoch] = statistics_of(trainer.artifact("last"))
    assert trainer.best.epoch < 12
    np.testing.assert_array_equal(statistics_of(trainer.artifact("best")), seen[trainer.best.epoch])
    assert (seen[trainer.best.epoch] != seen[12]).any()
    stored = checkpoint.decode(checkpoint.encode(trainer.state()))
    np.testing.assert_array_equal(statistics_of(checkpoint.artifact_from(resolved, stored, "best").artifact), seen[trainer.best.epoch])


def test_a_file_of_it_answers_as_the_network_did_at_the_end_of_training(job: Any, blobs: Any) -> None:
    trainer = trained(job, blobs)
    artifact = trainer.artifact("last")
    again = safetensors.read(safetensors.write(artifact))
    assert statistics_of(again).tobytes() == statistics_of(artifact).tobytes()
    one, many = (Predictor(again).predict({"x": blobs["x"][:rows]}).outputs for rows in (1, 20))
    np.testing.assert_allclose(one[0], many[0], rtol=1e-5)  # no row knows the others


@pytest.mark.oracle
def test_its_file_loads_into_torch(job: Any, blobs: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    import safetensors.torch

    from nncore.formats import safetensors as ours

    artifact, nn = trained(job, blobs).artifact("last"), torch.nn
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model.load_state_dict(safetensors.torch.load(ours.write(artifact)))
    model.eval()
    expected = model(torch.tensor(blobs["x"], dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(Predictor(artifact).predict({"x": blobs["x"]}).outputs, expected, rtol=2e-5, atol=1e-6)


RESIDUAL = [{"type": "residual", "layers": [{"type": "batch_norm"}]}, {"type": "dense", "units": 3}]


@pytest.mark.parametrize("network", [NETWORK, RESIDUAL])
@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ({"batch_size": 1}, "set batch_size to 2"),
        ({"batch_size": 7}, "set batch_size to 8"),  # 50 = 7 * 7 + 1
        ({"batch_size": 49}, "set batch_size to 50"),
        ({"batch_size": 39, "validation": {"fraction": 0.2}}, "set batch_size to 40"),  # 40 rows are left
        ({"batch_size": 32, "validation": {"fraction": 0.98}}, "send more rows"),
    ],
)
def test_a_batch_of_one_row_is_refused_with_a_remedy(job: Any, blobs: Any, network: Any, spec: dict[str, Any], remedy: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        job(blobs, inputs=["x"], target="y", network=network, **spec)
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.code) == ("/batch_size", "batch_too_small")
    assert fault.message.endswith(remedy)


@pytest.mark.parametrize("batch_size", [2, 8, 50, 1000])
def test_other_batches_are_taken(job: Any, blobs: Any, batch_size: int) -> None:
    assert job(blobs, inputs=["x"], target="y", network=NETWORK, batch_size=batch_size)


@pytest.mark.parametrize(
    ("fields", "shape", "pointer"),
    [
        ({}, (), ""),
        ({}, (2, 3, 4, 5), ""),
        ({}, (0,), ""),
        ({"running_mean": [1.0]}, (3,), "/running_mean"),
        ({"running_var": [1.0, -1.0]}, (2,), "/running_var"),
        ({"affine": False, "weight": [1.0]}, (1,), "/weight"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(fields: dict[str, Any], shape: tuple[int, ...], pointer: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        BatchNorm(**fields).output_shape(shape)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize("shape", [(1,), (1, 2)])
def test_the_statistics_of_a_million_rows_keep_their_digits_in_float32(shape: tuple[int, ...], one_step: Any) -> None:
    layers = [{"type": "batch_norm", "momentum": 1.0}, {"type": "flatten"}, {"type": "dense", "units": 1}]
    step = one_step(layers, "mean_squared_error", input_shape=shape, rows=1_000_000, dtype="float32")
    step.inputs[:] = 0.1 + 1e-3 * step.inputs
    step.loss()
    mean, variance = step.machine.learned[-2:]
    assert mean == pytest.approx(step.inputs.mean(dtype=float), rel=1e-6)
    assert variance == pytest.approx(step.inputs.var(dtype=float), rel=1e-4)
