"""Weights of rows: every loss divides by their sum, in training and validation; torch, and rows that stand twice, as oracles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidData, InvalidSpec
from nncore.losses import LossSpec
from nncore.trainer import Trainer

LAYERS = [{"type": "dense", "units": 5, "activation": "tanh"}, {"type": "dense", "units": 3}]
WEIGHTS = np.array([0.0, 1.0, 2.5, 0.3, 7.0, 1.0, 0.5])
LOSSES: dict[str, dict[str, Any]] = {
    "mean_squared_error": {},
    "mean_absolute_error": {},
    "huber": {"delta": 0.4},
    "binary_cross_entropy": {},
    "binary_cross_entropy-options": {"class_weights": [0.5, 2.0]},
    "softmax_cross_entropy": {},
    "negative_log_likelihood": {},
    "negative_log_likelihood-options": {"class_weights": [0.5, 2.0, 1.25], "ignore_index": 1},
    "softmax_cross_entropy-options": {"class_weights": [0.5, 2.0, 1.25], "label_smoothing": 0.3, "ignore_index": 1},
}


def test_every_loss_has_a_case() -> None:
    from typing import get_args

    assert {name.partition("-")[0] for name in LOSSES} == {each.model_fields["type"].default for each in get_args(get_args(LossSpec)[0])}


def of_torch(name: str, outputs: Any, step: Any) -> Any:
    """The losses of the rows as torch has them, weighed."""
    import torch

    functional, kind, options = torch.nn.functional, name.partition("-")[0], LOSSES[name]
    weights, targets, labels = torch.tensor(WEIGHTS), torch.tensor(step.targets), torch.tensor(step.labels)
    if kind in ("softmax_cross_entropy", "negative_log_likelihood"):
        of_classes = torch.tensor(options.get("class_weights", [1.0] * 3), dtype=torch.float64)
        more = {"weight": of_classes, "ignore_index": options.get("ignore_index", -100), "reduction": "none"}
        if kind == "softmax_cross_entropy":
            losses = functional.cross_entropy(outputs, labels, label_smoothing=options.get("label_smoothing", 0.0), **more)
        else:
            losses = functional.nll_loss(outputs, labels, **more)
        counted = (labels != options.get("ignore_index", -100)) * of_classes[labels]
        return (weights * losses).sum() / (weights * counted).sum()
    functions = {
        "mean_squared_error": functional.mse_loss,
        "mean_absolute_error": functional.l1_loss,
        "huber": lambda *both, reduction: functional.huber_loss(*both, delta=0.4, reduction=reduction),
        "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    }
    no, yes = options.get("class_weights", [1.0, 1.0])
    counted = no + (yes - no) * targets
    return (weights * (counted * functions[kind](outputs, targets, reduction="none")).mean(dim=1)).sum() / (
        weights * counted.mean(dim=1)
    ).sum()


def weighed(one_step: Any, name: str, dtype: str = "float64") -> Any:
    loss = {"type": name.partition("-")[0], **LOSSES[name]}
    layers = [*LAYERS, {"type": "activation", "activation": "log_softmax"}] if loss["type"] == "negative_log_likelihood" else LAYERS
    return one_step(layers, loss, rows=7, weights=WEIGHTS, dtype=dtype)


@pytest.mark.oracle
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_equal_those_of_torch(name: str, one_step: Any, torch_network: Any) -> None:
    import torch

    step = weighed(one_step, name)
    model = torch_network(step.network, (4,), step.parameters)
    expected = of_torch(name, model(torch.tensor(step.inputs)), step)
    expected.backward()
    gradient = torch.cat([parameter.grad.ravel() for parameter in model.parameters()]).numpy()
    assert step.loss() == pytest.approx(expected.item(), rel=1e-13)
    assert step.evaluated()[0] == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(step.gradient(), gradient, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_float32_is_close_to_float64(name: str, one_step: Any) -> None:
    exact, rounded = weighed(one_step, name), weighed(one_step, name, "float32")
    assert rounded.loss() == pytest.approx(exact.loss(), rel=1e-5)
    np.testing.assert_allclose(rounded.gradient(), exact.gradient(), atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_equal_weights_change_nothing(name: str, one_step: Any) -> None:
    plain, equal = weighed(one_step, name), weighed(one_step, name)
    equal.rows = equal.rows._replace(weights=np.full(7, 3.0))
    plain.rows = plain.rows._replace(weights=np.ones(7))
    assert equal.loss() == pytest.approx(plain.loss(), rel=1e-14)
    np.testing.assert_allclose(equal.gradient(), plain.gradient(), rtol=1e-12, atol=1e-16)


def trainer(job: Any, columns: Any, **more: Any) -> Trainer:
    spec = {"inputs": ["x"], "target": "y", "network": LAYERS, "batch_size": 50, "epochs": 8, "seed": 1, "dtype": "float64"}
    return Trainer(*job(columns, **spec | {"shuffle": False} | more))


def test_a_row_of_weight_two_is_a_row_that_stands_twice(job: Any, blobs: Any) -> None:
    weights = np.random.default_rng(2).integers(0, 4, 50)
    weighed = trainer(job, blobs | {"w": weights.astype(float).tolist()}, sample_weight="w")
    twice = {name: [value for value, times in zip(values, weights, strict=True) for _ in range(times)] for name, values in blobs.items()}
    repeated = trainer(job, twice, batch_size=int(weights.sum()))
    for found, expected in zip(weighed.run(), repeated.run(), strict=True):
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    np.testing.assert_allclose(weighed._machine.parameters, repeated._machine.parameters, rtol=1e-9, atol=1e-12)
    assert weighed.spec.inputs == ["x"]


def test_the_validation_loss_is_weighed_too_and_no_epoch_depends_on_its_batches(job: Any, blobs: Any) -> None:
    random, standing = np.random.default_rng(4), {"type": "sgd", "learning_rate": 1e-300}
    columns = blobs | {"w": random.random(50).tolist()}
    more = {"sample_weight": "w", "optimizer": standing, "validation": {"fraction": 0.4}, "epochs": 1}
    parts, whole = (trainer(job, columns, batch_size=size, **more) for size in (7, 30))
    found, expected = next(parts.run()), next(whole.run())
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    p, rows = parts.artifact("last").parameters, parts.data.validation_rows
    z = np.tanh(parts.data.inputs[rows] @ p["0.weight"].T + p["0.bias"]) @ p["2.weight"].T + p["2.bias"]
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), parts.data.labels[rows]]
    assert found.validation_loss == pytest.approx(np.average(losses, weights=np.array(columns["w"])[rows]), rel=1e-12)


def test_left_out_inputs_are_all_columns_but_target_and_weights(job: Any, blobs: Any) -> None:
    columns = {"x": blobs["x"], "y": blobs["y"], "w": [1.0] * 50}
    assert trainer(job, columns, inputs=None, sample_weight="w").spec.inputs == ["x"]


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "negative": ({"w": [-0.1] + [1.0] * 49}, "w", "weight_out_of_range"),
    "too large": ({"w": [1e7] + [1.0] * 49}, "w", "weight_out_of_range"),
    "all zero": ({"w": [0.0] * 50}, "w", "no_row_counts"),
    "text": ({"w": ["a", "b"] * 25}, "w", "not_weights"),
    "pairs": ({"w": [[1.0, 2.0]] * 50}, "w", "not_weights"),
    "an input": ({}, "x", "weight_among_data"),
    "the target": ({}, "y", "weight_among_data"),
    "nowhere": ({}, "weigths", "no_such_column"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_weights_is_refused_where_it_is_named(name: str, job: Any, blobs: Any) -> None:
    columns, column, code = BAD[name]
    with pytest.raises(InvalidSpec) as refused:
        trainer(job, blobs | columns, sample_weight=column)
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/sample_weight", code)]


def test_a_split_that_leaves_no_weight_to_train_on_is_refused(job: Any, blobs: Any) -> None:
    validation, plain = {"fraction": 0.3, "stratified": False}, [1.0] * 50
    held_out = trainer(job, blobs | {"w": plain}, sample_weight="w", validation=validation).data.validation_rows
    weights = np.zeros(50)
    weights[held_out] = 1
    with pytest.raises(InvalidData, match="every row that is trained on has the weight 0"):
        trainer(job, blobs | {"w": weights.tolist()}, sample_weight="w", validation=validation)


def test_rows_that_count_differently_cannot_be_mixed(job: Any, blobs: Any) -> None:
    with pytest.raises(InvalidSpec, match="cannot be mixed") as refused:
        trainer(job, blobs | {"w": [1.0] * 50}, sample_weight="w", augment=[{"type": "mixup"}])
    assert [fault.pointer for fault in refused.value.faults] == ["/augment/0"]
