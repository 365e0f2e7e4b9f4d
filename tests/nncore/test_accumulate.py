"""Accumulated gradients: n batches per step are the n times larger batch, whatever stands in the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.trainer import Trainer

LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dropout", "rate": 0.3}, {"type": "dense", "units": 3}]
LOSSES: dict[str, dict[str, Any]] = {
    "plain": {"type": "softmax_cross_entropy"},
    "weighted": {"type": "softmax_cross_entropy", "class_weights": [0.2, 1.0, 5.0], "label_smoothing": 0.1, "ignore_index": 1},
}


def trainer(job: Any, blobs: Any, **more: Any) -> Trainer:
    optimizer = {"type": "adam", "learning_rate": 0.05, "l2": 0.1, "clip_norm": 0.5}
    spec = {"inputs": ["x"], "target": "y", "network": LAYERS, "optimizer": optimizer, "epochs": 5, "seed": 3, "dtype": "float64"}
    return Trainer(*job(blobs, **spec | more))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("batch_size", "accumulate"), [(1, 8), (3, 4), (8, 2), (7, 7), (7, 1000), (24, 2)])
def test_it_equals_the_larger_batch_to_rounding(batch_size: int, accumulate: int, loss: str, job: Any, blobs: Any) -> None:
    """Dropout, penalty, clipping, class weights, and a last step of fewer and partial batches (50 rows) included."""
    parts = trainer(job, blobs, batch_size=batch_size, accumulate=accumulate, loss=LOSSES[loss])
    whole = trainer(job, blobs, batch_size=min(batch_size * accumulate, 50), loss=LOSSES[loss])
    assert (parts.steps, parts.spec.sizes.steps_per_epoch) == (whole.steps, whole.spec.sizes.steps_per_epoch)
    for found, expected in zip(parts.run(), whole.run(), strict=True):
        assert (found.step, found.epoch) == (expected.step, expected.epoch)
        assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    np.testing.assert_allclose(parts._machine.parameters, whole._machine.parameters, rtol=1e-12, atol=1e-12)


@pytest.mark.oracle
def test_a_step_is_that_of_torch_on_all_its_rows(one_step: Any, job: Any, blobs: Any, torch_network: Any) -> None:
    import torch

    network, sgd = [LAYERS[0], LAYERS[2]], {"type": "sgd", "learning_rate": 0.5}
    found = trainer(job, blobs, network=network, optimizer=sgd, batch_size=8, accumulate=3, shuffle=False)
    model = torch_network(found.spec.network, (2,), found._machine.parameters)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    inputs, labels = torch.tensor(found.data.inputs), torch.tensor(found.data.labels)
    for report in found.run():
        for first in range(0, 50, 24):
            rows = list(range(first, min(first + 24, 50)))
            optimizer.zero_grad()
            for batch in range(0, len(rows), 8):
                part = rows[batch : batch + 8]
                (torch.nn.functional.cross_entropy(model(inputs[part]), labels[part], reduction="sum") / len(rows)).backward()
            optimizer.step()
        vector = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
        np.testing.assert_allclose(found._machine.parameters, vector, rtol=1e-9, atol=1e-12)
        assert report.step == 3 * report.epoch


def test_a_step_of_ignored_rows_moves_nothing(job: Any, blobs: Any) -> None:
    columns = blobs | {"y": [-1] * 50}
    loss, sgd = {"type": "softmax_cross_entropy", "ignore_index": -1}, {"type": "sgd", "learning_rate": 1.0}
    found = trainer(job, columns, loss=loss, optimizer=sgd, batch_size=5, accumulate=4, epochs=1)
    before = found._machine.parameters.copy()
    assert next(report.loss for report in found.run() if report.epoch_ended) == 0
    np.testing.assert_array_equal(found._machine.parameters, before)


def test_what_is_not_finite_in_one_batch_spoils_its_step_and_no_parameter(job: Any, blobs: Any) -> None:
    from nncore.errors import Diverged

    found = trainer(job, blobs, batch_size=5, accumulate=3, shuffle=False)
    found._rows.inputs[17, 0] = np.nan  # in the first batch of the second step
    with pytest.raises(Diverged) as diverged:
        list(found.run())
    assert (diverged.value.step, diverged.value.what) == (1, "loss")
    assert np.isfinite(found._machine.parameters).all()


def test_no_more_is_accumulated_than_an_epoch_has(job: Any, blobs: Any) -> None:
    assert trainer(job, blobs, batch_size=8, accumulate=10**9).spec.accumulate == 7
    assert trainer(job, blobs, batch_size=10**6, accumulate=5).spec.accumulate == 1
