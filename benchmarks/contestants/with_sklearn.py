"""scikit-learn: MLPClassifier, which knows dense networks only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.neural_network import MLPClassifier

from contestants.cases import CLASSES, RATES, Case

STEPS_AT_ONCE = 50


def steps(case: Case, dtype: str) -> Iterator[int]:
    """Trains; yields after every call of partial_fit, which shuffles its rows and cuts them into batches."""
    inputs, labels = case.data(dtype)
    model = _model(case)
    model.partial_fit(inputs[: case.batch_size], labels[: case.batch_size], classes=range(CLASSES))
    yield 1
    at_once = 2 if case.batch_size > 128 else STEPS_AT_ONCE  # a call must end in time
    rows = at_once * case.batch_size
    while True:
        model.partial_fit(inputs[:rows], labels[:rows])
        yield at_once


def epochs(case: Case, inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray) -> Iterator[np.ndarray]:
    """Trains; yields after every epoch the labels it gives to `test_inputs`."""
    model = _model(case)
    while True:
        model.partial_fit(inputs, labels, classes=range(CLASSES))
        yield model.predict(test_inputs)


def _model(case: Case) -> MLPClassifier:
    if not case.is_dense:
        raise NotImplementedError("MLPClassifier knows dense networks only")
    activations = {"sigmoid": "logistic", "relu": "relu"}
    return MLPClassifier(
        hidden_layer_sizes=[layer["units"] for layer in case.hidden],
        activation=activations[case.hidden[0]["activation"]],
        solver=case.optimizer,
        alpha=0,
        batch_size=case.batch_size,
        learning_rate_init=RATES[case.optimizer],
        momentum=0,
    )
