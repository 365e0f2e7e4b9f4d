"""Accuracy: right answers are counted as a person would count them."""

from __future__ import annotations

import numpy as np
import pytest

from nncore.metrics import METRICS

accuracy = METRICS["accuracy"].compute


def test_the_largest_logit_answers_and_the_first_of_equal_ones():
    outputs = np.array([[1, 3, 2], [5, 5, 0], [0, 0, 1], [2, 1, 0]], dtype=np.float32)
    assert accuracy(outputs, np.array([1, 0, 2, 1])) == 0.75


def test_the_sign_of_a_logit_answers_yes_or_no():
    assert accuracy(np.array([[2.0], [-1.0], [0.0], [0.1]]), np.array([[1.0], [0.0], [0.0], [0.0]])) == 0.75


def test_every_question_of_a_row_counts():
    assert accuracy(np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])) == 0.75


@pytest.mark.oracle
def test_it_is_the_accuracy_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    outputs, labels = random.normal(size=(200, 4)), random.integers(0, 4, 200)
    assert accuracy(outputs, labels) == pytest.approx(metrics.accuracy_score(labels, outputs.argmax(axis=1)))
