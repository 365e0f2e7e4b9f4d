"""negative_log_likelihood behind log_softmax: softmax_cross_entropy in another guise, in training, answers and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.artifact import artifact_of
from nncore.errors import InvalidSpec
from nncore.predictor import Predictor
from nncore.trainer import Trainer

OPTIONS: dict[str, Any] = {"class_weights": [0.5, 2.0, 1.25], "ignore_index": 1}


def trainer(job: Any, blobs: Any, loss: str, last: str, **options: Any) -> Trainer:
    network = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3, "activation": last}]
    spec = {"inputs": ["x"], "target": "y", "network": network, "loss": {"type": loss, **options}, "batch_size": 8, "epochs": 5, "seed": 1}
    return Trainer(*job(blobs, **spec, dtype="float64", metrics=["accuracy", "log_loss", "roc_auc", "f1_macro"]))


@pytest.mark.parametrize("options", [{}, OPTIONS])
def test_a_training_is_that_of_the_cross_entropy_of_logits(options: dict[str, Any], job: Any, blobs: Any) -> None:
    likelihood = trainer(job, blobs, "negative_log_likelihood", "log_softmax", **options)
    entropy = trainer(job, blobs, "softmax_cross_entropy", "linear", **options)
    for found, expected in zip(likelihood.run(), entropy.run(), strict=True):
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)
        assert found.metrics == pytest.approx(expected.metrics, rel=1e-12)
    np.testing.assert_allclose(likelihood._machine.parameters, entropy._machine.parameters, rtol=1e-9, atol=1e-12)
    rows = {"x": blobs["x"][:7]}
    answers = [Predictor(artifact_of(each.spec, [], each.state()["parameters"])).predict(rows) for each in (likelihood, entropy)]
    np.testing.assert_allclose(answers[0].probabilities, answers[1].probabilities, rtol=1e-12)
    np.testing.assert_allclose(np.exp(answers[0].outputs), answers[0].probabilities, rtol=1e-12)
    np.testing.assert_array_equal(answers[0].labels, answers[1].labels)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["plain", "weights", "ignored", "both"])
def test_loss_and_gradient_are_those_of_torch(name: str, one_step: Any, torch_network: Any) -> None:
    import torch

    wanted = {"plain": (), "weights": ("class_weights",), "ignored": ("ignore_index",), "both": tuple(OPTIONS)}[name]
    options = {option: OPTIONS[option] for option in wanted}
    layers = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3, "activation": "log_softmax"}]
    step = one_step(layers, {"type": "negative_log_likelihood", **options}, rows=7)
    model = torch_network(step.network, (4,), step.parameters)
    weights = torch.tensor(options["class_weights"], dtype=torch.float64) if "class_weights" in options else None
    outputs = model(torch.tensor(step.inputs))
    expected = torch.nn.functional.nll_loss(outputs, torch.tensor(step.labels), weights, ignore_index=options.get("ignore_index", -100))
    expected.backward()
    gradient = torch.cat([parameter.grad.ravel() for parameter in model.parameters()]).numpy()
    assert step.loss() == pytest.approx(expected.item(), rel=1e-13)
    assert step.evaluated()[0] == pytest.approx(expected.item(), rel=1e-13)
    np.testing.assert_allclose(step.gradient(), gradient, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_of_ignored_rows_moves_nothing(dtype: str, one_step: Any) -> None:
    step = one_step([{"type": "dense", "units": 3}], {"type": "negative_log_likelihood", "ignore_index": -1}, dtype=dtype)
    step.labels[:] = -1
    step.rows, sums = step.rows._replace(labels=step.labels), np.zeros(2)
    assert step.machine.run_steps(step.optimizer.scalars(np.arange(1)), sums, step.rows, np.arange(5), 0) == 1
    assert sums.tolist() == [0, 0]
    assert not step.machine.gradients.any()


@pytest.mark.parametrize("last", ["linear", "softmax", "relu"])
def test_a_network_that_gives_no_logarithms_is_refused(last: str, job: Any, blobs: Any) -> None:
    with pytest.raises(InvalidSpec, match="takes logarithms of probabilities") as refused:
        trainer(job, blobs, "negative_log_likelihood", last)
    assert [fault.pointer for fault in refused.value.faults] == ["/network/layers/1/activation"]


def test_the_cross_entropies_refuse_logarithms(job: Any, blobs: Any) -> None:
    with pytest.raises(InvalidSpec, match="cannot follow log_softmax"):
        trainer(job, blobs, "softmax_cross_entropy", "log_softmax")
