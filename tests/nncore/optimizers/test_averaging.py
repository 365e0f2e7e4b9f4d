"""Averaged weights: PyTorch's AveragedModel; evaluated, called the best, and saved in the place of the parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.errors import InvalidSpec
from nncore.minimize import MinimizeSpec
from nncore.trainer import Trainer

LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}]


@pytest.mark.oracle
@pytest.mark.parametrize("decay", [0.0, 0.7, 0.99])
def test_the_averages_of_fifty_steps_are_those_of_torch(decay: float, one_step: Any, torch_network: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    step = one_step(LAYERS, "softmax_cross_entropy", rows=20, optimizer={"type": "adam", "learning_rate": 0.02, "average_decay": decay})
    model = torch_network(step.network, (4,), step.parameters)
    optimizer, averaged = torch.optim.Adam(model.parameters(), 0.02), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    for number in range(50):
        assert step.machine.run_steps(step.optimizer.scalars(np.array([number])), np.zeros(2), step.rows, np.arange(20), 0) == 1
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.tensor(step.inputs)), torch.tensor(step.labels)).backward()
        optimizer.step()
        averaged.update_parameters(model)
        expected = torch.nn.utils.parameters_to_vector(averaged.parameters()).detach().numpy()
        np.testing.assert_allclose(step.machine.averages, expected, rtol=1e-9, atol=1e-12)
    assert np.abs(step.machine.averages - step.machine.parameters).max() > 1e-3 or decay == 0


def trainer(job: Any, blobs: Any, decay: float | None = 0.9, **more: Any) -> Trainer:
    optimizer = {"type": "adam", "learning_rate": 0.05} | ({} if decay is None else {"average_decay": decay})
    spec = {"inputs": ["x"], "target": "y", "network": LAYERS, "optimizer": optimizer, "batch_size": 8, "epochs": 6, "seed": 1}
    return Trainer(*job(blobs, **spec | {"validation": {"fraction": 0.3}, "dtype": "float64"} | more))


def loss_of(vector: np.ndarray, found: Trainer) -> float:
    """Of the validation rows, in plain numpy."""
    weights = [vector[:12].reshape(6, 2), vector[12:18], vector[18:36].reshape(3, 6), vector[36:]]
    rows = found.data.validation_rows
    z = np.tanh(found.data.inputs[rows] @ weights[0].T + weights[1]) @ weights[2].T + weights[3]
    assert found.data.labels is not None
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), found.data.labels[rows]]).mean())


def vector_of(artifact: Any) -> np.ndarray:
    return np.concatenate([values.ravel() for values in artifact.parameters.values()])


def test_the_averages_are_evaluated_called_the_best_and_saved(job: Any, blobs: Any) -> None:
    found, live = trainer(job, blobs), trainer(job, blobs, None)
    lowest = np.inf
    for report, other in zip(found.run(), live.run(), strict=True):
        assert report.loss == other.loss  # updates are made with the parameters
        np.testing.assert_array_equal(found._machine.parameters, live._machine.parameters)
        assert report.validation_loss == pytest.approx(loss_of(found._machine.averages, found), rel=1e-12)
        assert report.validation_loss != other.validation_loss
        np.testing.assert_array_equal(vector_of(found.artifact("last")), found._machine.averages)
        if report.validation_loss < lowest:
            lowest = report.validation_loss
            np.testing.assert_array_equal(vector_of(found.artifact("best")), found._machine.averages)
    state = checkpoint.decode(checkpoint.encode(found.state()))
    for which in ("best", "last"):
        snapshot = checkpoint.artifact_from(found.spec, state, which)
        np.testing.assert_array_equal(vector_of(snapshot.artifact), vector_of(found.artifact(which)))


def test_before_the_first_step_the_averages_are_the_parameters(job: Any, blobs: Any) -> None:
    found = trainer(job, blobs)
    np.testing.assert_array_equal(vector_of(found.artifact("last")), found._machine.parameters)
    np.testing.assert_array_equal(
        vector_of(checkpoint.artifact_from(found.spec, found.state(), "last").artifact), found._machine.parameters
    )


def test_running_statistics_go_with_the_averages(job: Any, blobs: Any) -> None:
    found = trainer(job, blobs, network=[LAYERS[0], {"type": "batch_norm"}, LAYERS[1]])
    list(found.run())
    saved, statistics = found.artifact("last").parameters, found._machine.learned[found._machine.parameters.size :]
    np.testing.assert_array_equal(np.concatenate([saved["2.running_mean"], saved["2.running_var"]]), statistics)
    snapshot = checkpoint.artifact_from(found.spec, found.state(), "last")
    np.testing.assert_array_equal(vector_of(snapshot.artifact), vector_of(found.artifact("last")))


def test_a_search_without_epochs_refuses_averages() -> None:
    spec = {"expression": "x**2", "start": {"x": 1.0}, "optimizer": {"type": "adam", "average_decay": 0.9, "maximize": True}}
    with pytest.raises(InvalidSpec) as refused:
        MinimizeSpec.model_validate(spec).resolved()
    assert [fault.pointer for fault in refused.value.faults] == ["/optimizer/average_decay", "/optimizer/maximize"]
