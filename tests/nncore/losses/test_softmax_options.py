"""Class weights, label smoothing and an ignored label of softmax cross-entropy: against torch, and what a training makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from nncore.errors import InvalidData, InvalidSpec
from nncore.losses import LossSpec
from nncore.trainer import Trainer

LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}]
OPTIONS: dict[str, dict[str, Any]] = {
    "weights": {"class_weights": [0.5, 2.0, 1.25]},
    "a-weight-of-zero": {"class_weights": [0.5, 0.0, 1.25]},
    "smoothing": {"label_smoothing": 0.1},
    "ignored": {"ignore_index": 1},
    "all": {"class_weights": [0.5, 2.0, 1.25], "label_smoothing": 0.3, "ignore_index": -1},
}
LABELS = [0, 1, 2, 1, 1, 0, 2]


def step_of(one_step: Any, name: str, dtype: str = "float64") -> Any:
    step = one_step(LAYERS, {"type": "softmax_cross_entropy", **OPTIONS[name]}, rows=7, dtype=dtype)
    step.labels[:] = LABELS
    if name == "all":
        step.labels[2:4] = -1
    step.rows = step.rows._replace(labels=step.labels)
    return step


@pytest.mark.oracle
@pytest.mark.parametrize("name", OPTIONS)
def test_loss_and_gradient_equal_those_of_torch(name: str, one_step: Any, torch_network: Any) -> None:
    import torch

    step, options = step_of(one_step, name), OPTIONS[name]
    model = torch_network(step.network, (4,), step.parameters)
    weights = torch.tensor(options["class_weights"], dtype=torch.float64) if "class_weights" in options else None
    expected = torch.nn.functional.cross_entropy(
        model(torch.tensor(step.inputs)),
        torch.tensor(step.labels),
        weights,
        ignore_index=options.get("ignore_index", -100),
        label_smoothing=options.get("label_smoothing", 0.0),
    )
    expected.backward()
    gradient = torch.cat([parameter.grad.ravel() for parameter in model.parameters()]).numpy()
    assert step.loss() == pytest.approx(expected.item(), rel=1e-13)
    assert step.evaluated()[0] == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(step.gradient(), gradient, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_gradient_equals_central_differences(name: str, one_step: Any) -> None:
    step = step_of(one_step, name)
    expected = step.differences()
    np.testing.assert_allclose(step.gradient(step.parameters), expected, atol=2e-10, rtol=1e-6)


@pytest.mark.parametrize("name", OPTIONS)
def test_float32_is_close_to_float64(name: str, one_step: Any) -> None:
    exact, rounded = step_of(one_step, name), step_of(one_step, name, "float32")
    assert rounded.loss() == pytest.approx(exact.loss(), rel=1e-5)
    np.testing.assert_allclose(rounded.gradient(), exact.gradient(), atol=2e-6, rtol=2e-5)


def test_options_that_change_nothing_give_the_plain_loss(one_step: Any) -> None:
    plain, neutral = (one_step(LAYERS, {"type": "softmax_cross_entropy", **more}, rows=7) for more in ({}, {"class_weights": [3.0] * 3}))
    assert neutral.loss() == pytest.approx(plain.loss(), rel=1e-14)
    np.testing.assert_allclose(neutral.gradient(), plain.gradient(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_of_ignored_rows_moves_nothing(dtype: str, one_step: Any) -> None:
    sgd = {"type": "sgd", "learning_rate": 1.0}
    step = one_step(LAYERS, {"type": "softmax_cross_entropy", "ignore_index": -1}, dtype=dtype, optimizer=sgd)
    step.labels[:] = -1
    step.rows, sums = step.rows._replace(labels=step.labels), np.zeros(2)
    assert step.machine.run_steps(step.optimizer.scalars(np.arange(1)), sums, step.rows, np.arange(5), 0) == 1
    assert sums.tolist() == [0, 0]
    assert not step.machine.gradients.any()
    np.testing.assert_array_equal(step.machine.parameters, step.parameters)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_never_hidden(name: str, dtype: str, one_step: Any) -> None:
    step = step_of(one_step, name, dtype)
    with pytest.raises(ArithmeticError, match="loss"):
        step.loss(np.full_like(step.parameters, np.nan))


def epoch_losses(job: Any, loss: dict[str, Any], batch_size: int, **columns: Any) -> Any:
    standing = {"type": "sgd", "learning_rate": 1e-300}
    network = [{"type": "dense", "units": 3}]
    resolved, data = job(columns, target="y", network=network, loss=loss, optimizer=standing, batch_size=batch_size, epochs=1, seed=1)
    trainer = Trainer(resolved, data)
    return next(report for report in trainer.run() if report.epoch_ended)


def test_the_loss_of_an_epoch_does_not_depend_on_its_batches(job: Any, blobs: dict[str, Any]) -> None:
    loss = {"type": "softmax_cross_entropy", "class_weights": [0.2, 1.0, 5.0], "ignore_index": 1}
    columns = {"x": blobs["x"], "y": blobs["y"]}
    whole, parts = epoch_losses(job, loss, 50, **columns), epoch_losses(job, loss, 7, **columns)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


@pytest.mark.parametrize("ignored", [-1, 1, 255])
def test_ignored_rows_are_in_no_metric(ignored: int, job: Any, blobs: dict[str, Any]) -> None:
    loss = {"type": "softmax_cross_entropy", "ignore_index": ignored}
    labels = np.array(blobs["y"])
    half = np.arange(50) < 25
    some = epoch_losses(job, loss, 8, x=blobs["x"], y=np.where(half, labels, ignored).tolist())
    counted = half & (labels != ignored)
    alone = epoch_losses(job, {"type": "softmax_cross_entropy"}, 8, x=np.array(blobs["x"])[counted].tolist(), y=labels[counted].tolist())
    assert some.metrics == alone.metrics
    assert some.loss == pytest.approx(alone.loss, rel=1e-6)


def test_nothing_but_ignored_rows_gives_zero(job: Any, blobs: dict[str, Any]) -> None:
    report = epoch_losses(job, {"type": "softmax_cross_entropy", "ignore_index": -1}, 8, x=blobs["x"], y=[-1] * 50)
    assert (report.loss, report.metrics) == (0, {"accuracy": 0})


@pytest.mark.parametrize(("ignored", "other"), [(-7, -1), (255, 3)])
def test_another_label_outside_the_classes_is_refused_before_training(ignored: int, other: int, job: Any, blobs: dict[str, Any]) -> None:
    with pytest.raises(InvalidData, match="labels from 0 to 2"):
        epoch_losses(job, {"type": "softmax_cross_entropy", "ignore_index": ignored}, 8, x=blobs["x"], y=[ignored, other] + [0] * 48)


@pytest.mark.parametrize(
    ("loss", "first", "pointer"),
    [
        ({"class_weights": [1.0, 2.0]}, -1, "/loss/class_weights"),
        ({"ignore_index": -5}, -1, "/target"),
        ({"ignore_index": 255}, -1, "/target"),
        ({"ignore_index": 255}, 256, "/network/layers/0/units"),
        ({"ignore_index": 255}, 254, "/network/layers/0/units"),
    ],
)
def test_options_that_do_not_fit_the_data_are_refused(
    loss: dict[str, Any], first: int, pointer: str, job: Any, blobs: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        epoch_losses(job, {"type": "softmax_cross_entropy", **loss}, 8, x=blobs["x"], y=[first, *blobs["y"][1:]])
    assert pointer in [fault.pointer for fault in refused.value.faults]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"class_weights": [1.0, -1.0]}, 1),
        ({"class_weights": [0.0, 0.0]}, "class_weights"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"ignore_index": 0.5}, "ignore_index"),
    ],
)
def test_options_outside_their_range_are_refused(options: dict[str, Any], field: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(LossSpec).validate_python({"type": "softmax_cross_entropy", **options})
    assert [error["loc"][-1] for error in refused.value.errors()] == [field]


@pytest.mark.parametrize("delta", [1e-9, 0.1, 0.5, 1e9])
def test_huber_of_any_delta_is_that_of_torch(delta: float, one_step: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    step = one_step(LAYERS, {"type": "huber", "delta": delta})
    mean, outputs = step.evaluated()
    expected = torch.nn.functional.huber_loss(torch.tensor(outputs), torch.tensor(step.targets), delta=delta).item()
    assert mean == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(step.gradient(), step.differences(), atol=2e-10, rtol=1e-5)
