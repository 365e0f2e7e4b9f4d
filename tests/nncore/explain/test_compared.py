"""What is asked about a loss on some rows never leaves the memory of the machine: rows that do not fit are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.artifact import Artifact
from nncore.errors import InvalidData
from nncore.explain import gradient_check, layer_activations, loss_along_line, loss_over_plane
from nncore.losses import LossSpec
from nncore.network import NetworkSpec

DENSE = [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 3}]
WORDS = [{"type": "embedding", "vocabulary": 4, "dimensions": 3}, {"type": "mean_over_sequence"}, {"type": "dense", "units": 3}]
RANDOM = np.random.default_rng(0)
X, LABELS, TOKENS = RANDOM.normal(size=(6, 2)), np.array([0, 1, 2, 0, 1, 2]), np.zeros((6, 3))
LABELLED, SQUARES = {"type": "softmax_cross_entropy"}, {"type": "mean_squared_error"}
YES_OR_NO = {"type": "binary_cross_entropy"}


def artifact(layers: list[dict[str, Any]], shape: tuple[int, ...]) -> Artifact:
    network, random = NetworkSpec.model_validate({"layers": layers}), np.random.default_rng(1)
    parameters = {info.name: random.normal(size=info.shape) for info in network.parameters(shape)}
    return Artifact(network, "mean_squared_error", ("x",), shape, "y", None, [], "float64", parameters)


def slice_of(ask: Callable[..., Any], layers: Any, loss: dict[str, Any], inputs: np.ndarray, expected: Any) -> Any:
    shape = (2,) if layers is DENSE else (3,)
    return ask(artifact(layers, shape), TypeAdapter(LossSpec).validate_python(loss), inputs, expected, points=3).losses.min()


def checked(layers: Any, loss: dict[str, Any], inputs: np.ndarray, expected: Any) -> Any:
    network = NetworkSpec.model_validate({"layers": layers})
    return gradient_check(network, TypeAdapter(LossSpec).validate_python(loss), inputs, expected).loss


ASKED = {"check": checked, "line": partial(slice_of, loss_along_line), "plane": partial(slice_of, loss_over_plane)}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize(
    ("layers", "loss", "inputs", "expected", "at", "code"),
    [
        (DENSE, LABELLED, X, [0, 1, 2, 3, 1, 2], "/expected/3", "label_outside_classes"),
        (DENSE, LABELLED, X, [0, 1, 2, 5_000_000, 1, 2], "/expected/3", "label_outside_classes"),
        (DENSE, LABELLED, X, [0, -1, 2, 0, 1, 2], "/expected/1", "label_outside_classes"),
        (DENSE, {**LABELLED, "ignore_index": -1}, X, [0, -1, -2, 0, 1, 2], "/expected/2", "label_outside_classes"),
        (DENSE, LABELLED, X, [0.5, 1, 2, 0, 1, 2], "/expected/0", "label_outside_classes"),
        (DENSE, LABELLED, X, [*"abcabc"], "/expected", "not_numbers"),
        (DENSE, LABELLED, X, [0, 1, 2], "/expected", "wrong_rows"),
        (DENSE, LABELLED, X, np.zeros((6, 3)), "/expected", "wrong_targets"),
        (DENSE, {**LABELLED, "class_weights": [1.0, 2.0]}, X, LABELS, "/expected", "wrong_length"),
        (DENSE, SQUARES, X, np.zeros((6, 2)), "/expected", "wrong_targets"),
        (DENSE, SQUARES, X, np.zeros((5, 3)), "/expected", "wrong_rows"),
        (DENSE, SQUARES, X, np.full((6, 3), np.nan), "/expected", "not_finite"),
        (DENSE, {**YES_OR_NO, "class_weights": "balanced"}, X, np.full((6, 3), 0.5), "/expected", "not_labels"),
        (DENSE, LABELLED, X[:0], LABELS[:0], "/inputs", "wrong_shape"),
        (DENSE, LABELLED, np.full((6, 2), np.inf), LABELS, "/inputs", "not_finite"),
        (WORDS, LABELLED, TOKENS + 99, LABELS, "/inputs/0", "no_such_token"),
        (WORDS, LABELLED, TOKENS - 1, LABELS, "/inputs/0", "no_such_token"),
        (WORDS, LABELLED, TOKENS + 9e8, LABELS, "/inputs/0", "no_such_token"),
    ],
)
def test_rows_that_do_not_fit_are_refused(ask: Any, layers: Any, loss: Any, inputs: Any, expected: Any, at: str, code: str) -> None:
    with pytest.raises(InvalidData) as refused:
        ask(layers, loss, inputs, expected)
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [(at, code)]


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_balanced_weights_are_counted_over_the_labels_that_are_given(ask: Any) -> None:
    labels = [0, 0, 0, 0, 1, 2]
    assert ask(DENSE, {**LABELLED, "class_weights": "balanced"}, X, labels) == ask(
        DENSE, {**LABELLED, "class_weights": [0.5, 2.0, 2.0]}, X, labels
    )
    answers = np.array([[0, 0, 1]] * 6)
    assert ask(DENSE, {**YES_OR_NO, "class_weights": "balanced"}, X, answers) == ask(
        DENSE, {**YES_OR_NO, "class_weights": [0.75, 1.5]}, X, answers
    )


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_rows_with_an_ignored_label_count_nowhere(ask: Any) -> None:
    loss = {**LABELLED, "ignore_index": -1}
    ignoring, without = ask(DENSE, loss, X, [0, 1, 2, 0, -1, -1]), ask(DENSE, loss, X[:4], [0, 1, 2, 0])
    assert ignoring == pytest.approx(without, rel=1e-14)


def test_a_check_of_too_few_rows_for_a_layer_is_refused_by_its_name() -> None:
    layers = [{"type": "batch_norm"}, {"type": "dense", "units": 3}]
    with pytest.raises(InvalidData, match="the layer at /layers/0 is trained on batches of at least 2 rows, got 1"):
        checked(layers, LABELLED, X[:1], LABELS[:1])
    assert checked(layers, LABELLED, X[:2], LABELS[:2]) > 0


def test_activations_of_a_token_that_is_not_there_are_refused() -> None:
    with pytest.raises(InvalidData, match="takes whole numbers from 0 to 3, got 99"):
        layer_activations(artifact(WORDS, (3,)), TOKENS + 99)
