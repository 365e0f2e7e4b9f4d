from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nncore.artifact import Artifact
from nncore.errors import InvalidData
from nncore.faults import MAX_FAULTS, Faults
from nncore.network import NetworkSpec
from nncore.predictor import Predictor, _is_of_one_kind
from nncore.probabilities import sigmoid, softmax
from nncore.trainer import Trainer

LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dropout", "rate": 0.2}]


def trained(job: Any, blobs: Any, target: str = "y", units: int = 3, **spec: Any) -> Trainer:
    network = [*LAYERS, {"type": "dense", "units": units}]
    standard = {"inputs": ["x"], "target": target, "network": network, "epochs": 4, "batch_size": 50, "seed": 1}
    trainer = Trainer(*job(blobs, **standard | spec))
    list(trainer.run())
    return trainer


def given(weight: list[list[float]], **changed: Any) -> Artifact:
    """An artefact of one dense layer with this weight."""
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": len(weight), "use_bias": False}]})
    names, parameters = tuple("abcdefgh"[: len(weight[0])]), {"0.weight": np.array(weight, dtype=changed.get("dtype", "float32"))}
    plain = Artifact(network, "mean_squared_error", names, (len(names),), "t", None, [], "float32", parameters)
    return replace(plain, **changed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_the_outputs_of_training_bit_for_bit(dtype: str, job: Any, blobs: Any) -> None:
    """On the training rows, in the batch they were evaluated in, with the preprocessing of training applied again."""
    trainer = trained(job, blobs, dtype=dtype, preprocess=[{"type": "standardize"}])
    prediction = Predictor(trainer.artifact("last")).predict({"x": blobs["x"]})
    assert prediction.outputs.dtype == dtype
    assert prediction.outputs.tobytes() == trainer._evaluation._outputs.tobytes()
    assert prediction.labels is not None
    assert (prediction.labels == blobs["y"]).mean() == trainer.last_report.metrics["accuracy"]


def test_one_row_and_many_agree_within_rounding(job: Any, blobs: Any) -> None:
    predictor = Predictor(trained(job, blobs, dtype="float64").artifact())
    together = predictor.predict({"x": blobs["x"]}).outputs
    alone = np.concatenate([predictor.predict({"x": [row]}).outputs for row in blobs["x"]])
    np.testing.assert_allclose(alone, together, rtol=1e-12)


def test_arrays_and_lists_are_read_alike(job: Any, blobs: Any) -> None:
    predictor = Predictor(trained(job, blobs).artifact())
    expected = predictor.predict({"x": blobs["x"]}).outputs
    for columns in (np.array(blobs["x"]), np.asfortranarray(np.array(blobs["x"]))):
        np.testing.assert_array_equal(predictor.predict({"x": columns}).outputs, expected)


def test_columns_are_laid_side_by_side_in_the_order_of_training() -> None:
    predictor = Predictor(given([[1.0, 10.0, 100.0]]))
    assert predictor.predict({"c": [3.0, 6.0], "a": [1.0, 4.0], "b": [2, 5]}).outputs.tolist() == [[321.0], [654.0]]


def test_many_rows_are_predicted_block_by_block() -> None:
    predictor, rows = Predictor(given([[2.0]])), 20_001
    assert rows > predictor._machine.program.block_rows * 8
    np.testing.assert_array_equal(predictor.predict({"a": np.arange(rows)}).outputs[:, 0], 2 * np.arange(rows))


def test_threads_that_share_a_predictor_get_their_own_answers() -> None:
    predictor = Predictor(given([[2.0]]))

    def ask(number: int) -> bool:
        inputs = np.full(3000, number)
        return bool((predictor.predict({"a": inputs}).outputs == 2 * number).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


IDENTITY = [[1.0, 0.0], [0.0, 1.0]]


def test_under_softmax_cross_entropy_there_are_probabilities_and_labels() -> None:
    predictor = Predictor(given(IDENTITY, loss="softmax_cross_entropy", classes=("0", "1")))
    prediction = predictor.predict({"a": [0.0, 2.0], "b": [1.0, 2.0]})
    np.testing.assert_allclose(prediction.probabilities, [[1 / (1 + np.e), np.e / (1 + np.e)], [0.5, 0.5]], rtol=1e-6)
    assert prediction.labels is not None
    assert prediction.labels.tolist() == [1, 0]


def test_the_first_row_that_is_not_what_the_network_takes_is_told() -> None:
    for rows, row in ((["a", 1], 1), ([1, None, "a", "b"], 3)):
        with pytest.raises(InvalidData, match=rf'row {row}, column "a": expected a number, as in training, got the text "a"'):
            Predictor(given([[1.0]])).predict({"a": rows})
    faults = Faults()
    assert not _is_of_one_kind("a", None, ["a", 1], faults)
    assert [(fault.pointer, fault.expected, fault.got) for fault in faults.found] == [("/inputs/a/1", "text", "the number 1")]


def test_labels_with_names_are_called_by_them() -> None:
    predictor = Predictor(given(IDENTITY, loss="softmax_cross_entropy", classes=("cat", "dog")))
    assert predictor.predict({"a": [0.0, 2.0], "b": [1.0, 1.0]}).labels.tolist() == ["dog", "cat"]


def test_under_binary_cross_entropy_there_is_one_probability_per_question() -> None:
    one = Predictor(given([[1.0]], loss="binary_cross_entropy", classes=("no", "yes"))).predict({"a": [-1.0, 0.0, 2.0]})
    np.testing.assert_allclose(one.probabilities, 1 / (1 + np.exp([1, 0, -2.0])), rtol=1e-6)
    assert one.labels.tolist() == ["no", "no", "yes"]
    several = Predictor(given(IDENTITY, loss="binary_cross_entropy")).predict({"a": [-1.0], "b": [2.0]})
    assert several.probabilities.shape == (1, 2)
    assert several.labels.tolist() == [[0, 1]]


def test_under_mean_squared_error_outputs_are_plain_numbers() -> None:
    prediction = Predictor(given(IDENTITY)).predict({"a": [1.0], "b": [2.0]})
    assert (prediction.probabilities, prediction.labels) == (None, None)


@pytest.mark.parametrize(
    ("columns", "pointers"),
    [
        ({"a": [1.0]}, ["/inputs/b"]),
        ({"a": [1.0], "b": [1.0], "d": [1.0], "e": [1]}, ["/inputs/d", "/inputs/e"]),
        ({"a": [1.0, None], "b": [1.0, 2.0]}, ["/inputs/a/1"]),
        ({"a": [1.0, "x"], "b": [float("nan"), 2.0]}, ["/inputs/a/1", "/inputs/b/0"]),
        ({"a": ["x", 1.0], "b": [1.0, 2.0]}, ["/inputs/a/0"]),
        ({"a": ["x"], "b": [1.0]}, ["/inputs/a"]),
        ({"a": [[1.0, 2.0]], "b": [1.0]}, ["/inputs/a"]),
        ({"a": [1.0, 2.0], "b": [1.0]}, ["/inputs/b"]),
        ({"a": [], "b": []}, ["/inputs/a", "/inputs/b"]),
        ({"a": np.array([1.0]), "b": np.array([np.inf])}, ["/inputs/b"]),
        ({"a": np.array([1.0]), "b": np.array([1.0, 2.0])}, ["/inputs/b"]),
        ({"a": np.array(1.0), "b": np.array(2.0)}, ["/inputs/a", "/inputs/b"]),
        ({"a": 1.0, "b": [1.0]}, ["/inputs/a"]),
        ({"a": [1e300], "b": [1.0]}, ["/inputs"]),
        ({"a": [3e38], "b": [3e38]}, ["/inputs"]),
    ],
)
def test_every_fault_of_the_inputs_is_named(columns: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(InvalidData) as refused:
        Predictor(given([[2.0, 2.0]])).predict(columns)
    assert [fault.pointer for fault in refused.value.faults] == pointers


@pytest.mark.parametrize("size", [1, 1e4])
def test_probabilities_never_overflow(size: float) -> None:
    logits = np.array([[-1.0, 0.0, 1.0]]) * size
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(softmax(logits).sum(axis=1), 1)
        assert ((sigmoid(logits) >= 0) & (sigmoid(logits) <= 1)).all()
        np.testing.assert_allclose(sigmoid(logits) + sigmoid(-logits), 1)


def test_half_a_million_names_that_are_no_inputs_are_refused_at_once() -> None:
    predictor = Predictor(given([[1.0, 2.0]]))
    names = {f"input {at}": [1] for at in range(500_000)}
    started = time.process_time()
    with pytest.raises(InvalidData) as caught:
        predictor.predict({"a": [1], "b": [1], **names})
    assert len(caught.value.faults) == MAX_FAULTS
    assert time.process_time() - started < 2.0


def test_inputs_are_what_the_network_was_trained_on(job: Any, blobs: Any) -> None:
    trainer = trained(job, blobs, preprocess=[{"type": "standardize"}])
    inputs = Predictor(trainer.artifact()).inputs({"x": blobs["x"]})
    assert inputs.tobytes() == trainer.data.inputs.tobytes()
    assert inputs.shape == (50, 2)


@pytest.mark.parametrize("rows", [[[[[0, 1]]]], [[[0], [1]]], [[0, 1, 2]], [[0]], [5]])
def test_items_have_the_shape_they_had_in_training_not_only_as_many_numbers(rows: Any, job: Any, blobs: Any) -> None:
    predictor = Predictor(trained(job, blobs).artifact())
    with pytest.raises(InvalidData) as caught:
        predictor.predict({"x": rows})
    (fault,) = caught.value.faults
    assert (fault.pointer, fault.code) == ("/inputs/x", "wrong_shape")
    assert fault.message.startswith('column "x": expected an item of shape [2] in each row, as in training, got ')
    several = Predictor(given([[1.0, 2.0]]))
    assert several.predict({"a": [1], "b": [2]}).outputs == several.predict({"a": [[1]], "b": [2]}).outputs
