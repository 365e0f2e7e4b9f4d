from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from nncore.predictor import Predictor
from nncore.preprocess.bag_of_words import murmur3
from nncore.trainer import Trainer

TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "the THE the",
    "a b c - ! 7",
    "Größe, naïveté; 東京 крыло under_score x2",
    "good food, good service, would come again",
]


def bag(**fields: Any) -> dict[str, Any]:
    return {"type": "bag_of_words", **fields}


@pytest.mark.oracle
@pytest.mark.parametrize("norm", ["l2", None])
@pytest.mark.parametrize("lower_case", [True, False])
@pytest.mark.parametrize("size", [2, 7, 1024])
def test_it_is_the_hashing_vectorizer_of_scikit_learn(size: int, lower_case: bool, norm: Any, preprocessed: Any) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    expected = text.HashingVectorizer(n_features=size, lowercase=lower_case, norm=norm).transform(TEXTS).toarray()
    found = preprocessed({"text": TEXTS}, bag(size=size, lower_case=lower_case, norm=norm))
    np.testing.assert_array_equal(found.inputs, expected.astype(np.float32))


@pytest.mark.oracle
def test_the_hash_is_murmur3() -> None:
    utilities = pytest.importorskip("sklearn.utils")
    for length, start in itertools.product(range(12), (0, 100, 240)):
        data = bytes((start + at) % 256 for at in range(length))
        assert murmur3(data) == utilities.murmurhash3_32(data, seed=0)


def test_the_hash_is_that_of_its_published_cases() -> None:
    """Of the reference implementation's users: "" 0, "test" 0xba6bd213, "Hello, world!" 0xc0363e43."""
    for data, expected in ((b"", 0), (b"test", 0xBA6BD213), (b"Hello, world!", 0xC0363E43)):
        assert murmur3(data) % 2**32 == expected


def test_equal_words_in_another_order_give_the_same_and_words_add_up(preprocessed: Any) -> None:
    found = preprocessed({"text": ["red green", "green red", "red", "green"]}, bag(size=64, norm=None)).inputs
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2] + found[3])
    assert np.abs(found).sum(axis=1).tolist() == [2, 2, 1, 1]


def test_sentences_are_learnt_and_new_ones_answered(job: Any) -> None:
    random = np.random.default_rng(0)
    good, bad, any_ = ["lovely", "great", "fine"], ["awful", "bad", "poor"], ["food", "room", "staff", "place"]
    rows = [
        (f"{random.choice(any_)} was {random.choice(words)}, the {random.choice(any_)} too", kind)
        for words, kind in ((good, "good"), (bad, "bad")) * 40
    ]
    columns = {"text": [text for text, _ in rows], "kind": [kind for _, kind in rows]}
    spec = {"target": "kind", "network": [{"type": "dense", "units": 1}], "preprocess": [bag(size=256)], "epochs": 40, "seed": 1}
    trainer = Trainer(*job(columns, optimizer={"type": "adam", "learning_rate": 0.05}, **spec))
    list(trainer.run())
    labels = Predictor(trainer.artifact()).predict({"text": ["a great place!", "POOR room, bad staff", "great and fine"]}).labels
    assert labels.tolist() == ["good", "bad", "good"]


def test_numbers_are_refused(refused: Any) -> None:
    assert "it works on columns of text" in refused({"x": [1, 2]}, bag(columns=["x"]))["/preprocess/0/columns/0"][1]
    assert refused({"x": [1, 2]}, bag())["/preprocess/0"][0] == "no_column"
