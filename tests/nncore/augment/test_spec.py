"""Augmentations as a user writes them: what is written in, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.predictor import Predictor
from nncore.trainer import Trainer

RANDOM = np.random.default_rng(3)
PICTURES = RANDOM.random((12, 1, 4, 5)).round(3).tolist()
COLUMNS = {"picture": PICTURES, "a": [0.5] * 12, "b": [1.5] * 12, "tokens": [[1, 2, 3]] * 12, "y": [0, 1, 2] * 4, "z": [0.5, 1.0, 2.0] * 4}
DENSE = [{"type": "dense", "units": 3}]
FLIP, MIXUP = {"type": "flip"}, {"type": "mixup"}


def faults(job: Any, *augment: Any, **spec: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(InvalidSpec) as caught:
        job(COLUMNS, **{"inputs": ["picture"], "target": "y", "network": DENSE, "augment": list(augment)} | spec)
    return {fault.pointer: (fault.code, fault.message) for fault in caught.value.faults}


def test_the_shape_of_the_one_column_is_written_in_even_where_a_dense_layer_takes_it(job: Any) -> None:
    resolved, _ = job(COLUMNS, inputs=["picture"], target="y", network=DENSE, augment=[FLIP, {"type": "shift", "most": [1, 1]}])
    assert resolved.input_shape == [20]
    assert [each.shape for each in resolved.augment] == [[1, 4, 5], [1, 4, 5]]


def test_memory_of_what_is_augmented_is_counted(job: Any) -> None:
    plain, mixed = (
        job(COLUMNS, inputs=["picture"], target="y", network=DENSE, augment=augment)[0].sizes.memory_bytes for augment in ([], [MIXUP])
    )
    assert mixed - plain >= 12 * 20 * 4


@pytest.mark.parametrize(
    ("augment", "spec", "pointer", "said"),
    [
        ([FLIP], {"inputs": ["a", "b"]}, "/augment/0/shape", 'say it with "shape"'),
        ([{"type": "flip", "shape": [3, 4]}], {}, "/augment/0/shape", "expected a shape of 20 numbers"),
        ([MIXUP, {"type": "flip", "axis": 3}], {}, "/augment/1/axis", "expected an axis from -3 to 2"),
        ([{"type": "shift", "most": [4, 1]}], {}, "/augment/0/most", "may be gone; take less than 4"),
        ([{"type": "shift", "most": [1, 1], "shape": [20]}], {}, "/augment/0/most", "most is of 2 axes"),
        ([MIXUP, MIXUP], {}, "/augment/1", "rows are mixed once"),
        ([MIXUP], {"loss": {"type": "softmax_cross_entropy", "ignore_index": 0}}, "/augment/0", "leave mixup or ignore_index out"),
        (
            [MIXUP],
            {"loss": {"type": "softmax_cross_entropy", "class_weights": [1.0, 2.0, 3.0]}},
            "/augment/0",
            "leave mixup or class_weights out",
        ),
        ([MIXUP], {"sample_weight": "a"}, "/augment/0", "leave mixup or sample_weight out"),
        (
            [{"type": "noise"}],
            {"inputs": ["tokens"], "network": [{"type": "embedding", "vocabulary": 9, "dimensions": 2}, {"type": "flatten"}, *DENSE]},
            "/augment/0",
            "an embedding looks them up",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place_and_a_remedy(augment: Any, spec: Any, pointer: str, said: str, job: Any) -> None:
    assert said in faults(job, *augment, **spec)[pointer][1]


def test_predictions_know_nothing_of_it(job: Any) -> None:
    """Trained in one epoch at a learning rate of nearly 0, so that only what predictions do could differ."""
    answers = []
    for augment in ([], [{"type": "noise", "deviation": 9.0}, FLIP, MIXUP]):
        still = {"type": "sgd", "learning_rate": 1e-30}
        trainer = Trainer(*job(COLUMNS, inputs=["picture"], target="y", network=DENSE, augment=augment, optimizer=still, seed=1, epochs=1))
        list(trainer.run())
        answers.append(Predictor(trainer.artifact()).predict({"picture": PICTURES}).outputs)
    assert np.array_equal(*answers)


def test_shifted_signals_are_learnt_from_few_rows(job: Any) -> None:
    """A bump in the middle of every training row, and anywhere in the others: found there by a network that was shown so."""
    place = np.arange(24)

    def rows(centres: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
        kinds = np.arange(len(centres)) % 2
        shape = np.where(kinds[:, None] == 0, np.exp(-((place - centres[:, None]) ** 2) / 2), np.exp(-np.abs(place - centres[:, None]) / 4))
        return (shape + np.random.default_rng(seed).normal(size=shape.shape) * 0.05).round(4), kinds

    (training, labels), (others, truth) = rows(np.full(60, 12), 0), rows(np.random.default_rng(9).integers(7, 18, 200), 1)
    right = []
    for augment in ([], [{"type": "shift", "most": [6]}]):
        spec = {"target": "y", "network": [{"type": "dense", "units": 16, "activation": "relu"}, {"type": "dense", "units": 2}], "seed": 1}
        adam = {"type": "adam", "learning_rate": 0.01}
        trainer = Trainer(
            *job({"x": training.tolist(), "y": labels.tolist()}, **spec, epochs=150, batch_size=20, augment=augment, optimizer=adam)
        )
        list(trainer.run())
        right.append(float((Predictor(trainer.artifact("last")).predict({"x": others}).labels == truth).mean()))
    assert right[1] > 0.9 > right[0] + 0.05
