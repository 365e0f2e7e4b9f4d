from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore.data import TrainingData
from nncore.errors import InvalidData, InvalidSpec
from nncore.formats import safetensors
from nncore.layers import Embedding
from nncore.network import NetworkSpec
from nncore.predictor import Predictor
from nncore.table.json import read_columns
from nncore.trainer import Trainer

TABLE = [[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]]
BAG = [{"type": "embedding", "vocabulary": 6, "dimensions": 3, "padding_index": 0}, {"type": "mean_over_sequence"}]
COLUMNS = {"words": [[1, 2, 0], [3, 3, 5], [4, 0, 0], [2, 1, 3]], "y": [0, 1, 0, 1]}
SPEC = {"network": [*BAG, {"type": "dense", "units": 2}], "inputs": ["words"], "target": "y", "batch_size": 2, "epochs": 3, "seed": 1}


def step_of(one_step: Any, tokens: list[list[int]], **fields: Any) -> Any:
    layers = [{"type": "embedding", "vocabulary": 3, "dimensions": 2, **fields}, {"type": "flatten"}]
    step = one_step(layers, "mean_squared_error", input_shape=(len(tokens[0]),), rows=len(tokens))
    step.inputs[:] = tokens
    return step


def test_each_token_becomes_its_vector(one_step: Any) -> None:
    step = step_of(one_step, [[2, 0], [1, 1]], weight=TABLE)
    assert step.evaluated()[1].tolist() == [[2.0, 2.5, 0.0, 0.5], [1.0, 1.5, 1.0, 1.5]]


def test_a_token_that_stands_twice_adds_up_its_gradients(one_step: Any) -> None:
    step = step_of(one_step, [[2, 0], [2, 2]])
    slopes = 2 * (step.evaluated()[1] - step.targets) / 8
    expected = np.zeros((3, 2))
    np.add.at(expected, step.inputs.astype(int).ravel(), slopes.reshape(4, 2))
    np.testing.assert_allclose(step.gradient().reshape(3, 2), expected, rtol=1e-13)


def test_the_vector_of_the_padding_is_0_and_never_learns(job: Any) -> None:
    trainer = Trainer(*job(COLUMNS, **SPEC, optimizer={"type": "adamw", "learning_rate": 0.1, "l2": 0.1}))
    before = trainer.artifact("last").parameters["0.weight"].copy()
    list(trainer.run())
    after = trainer.artifact("last").parameters["0.weight"]
    np.testing.assert_array_equal(before[0], 0)
    np.testing.assert_array_equal(after[0], 0)
    assert (before[1:] != after[1:]).all()


def test_weights_are_drawn_as_torch_does_or_as_asked_for(one_step: Any) -> None:
    layer = {"type": "embedding", "vocabulary": 500, "dimensions": 40}
    plain = one_step([layer, {"type": "flatten"}], "mean_squared_error", input_shape=(1,)).parameters
    assert (plain.mean(), plain.std()) == (pytest.approx(0, abs=0.03), pytest.approx(1, rel=0.03))
    small = layer | {"initialiser": {"type": "normal", "deviation": 0.01}}
    assert one_step([small, {"type": "flatten"}], "mean_squared_error", input_shape=(1,)).parameters.std() == pytest.approx(0.01, rel=0.03)


@pytest.mark.oracle
def test_its_file_loads_into_torch(job: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    import safetensors.torch

    trainer = Trainer(*job(COLUMNS, **SPEC))
    list(trainer.run())
    written = safetensors_of(trainer)
    model = torch.nn.Embedding(6, 3, padding_idx=0)
    model.load_state_dict({"weight": safetensors.torch.load(written)["0.weight"]})
    learned = trainer.artifact("last").parameters["0.weight"]
    np.testing.assert_array_equal(model(torch.arange(6)).detach().numpy(), learned)
    assert not learned[0].any()
    assert learned[1:].any()


def safetensors_of(trainer: Trainer) -> bytes:
    return safetensors.write(trainer.artifact("last"))


def test_a_trained_bag_predicts_from_its_file(job: Any) -> None:
    trainer = Trainer(*job(COLUMNS, **SPEC))
    list(trainer.run())
    predictor = Predictor(safetensors.read(safetensors_of(trainer)))
    found = predictor.predict({"words": COLUMNS["words"]}).outputs
    padded = predictor.predict({"words": [[2, 1, 0], [0, 2, 1]]}).outputs
    np.testing.assert_allclose(padded[0], padded[1], rtol=1e-6)
    np.testing.assert_allclose(padded[0], found[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([[1, 2, 0], [3, 6, 5]], "numbers from 0 to 6, but an embedding of 6 tokens takes whole numbers from 0 to 5"),
        ([[1, -2, 0], [3, 3, 5]], "numbers from -2 to 5"),
        ([[1.5, 2, 0], [3, 3, 5]], "fractions"),
    ],
)
def test_tokens_outside_the_vocabulary_are_refused_with_the_spec(job: Any, words: Any, says: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        job({"words": words, "y": [0, 1]}, **SPEC)
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.code) == ("/inputs/0", "no_such_token")
    assert says in fault.message


def test_tokens_that_preprocessing_spoils_are_refused_with_the_data_naming_the_row(job: Any) -> None:
    with pytest.raises(InvalidData, match=r"row 1: an embedding of 6 tokens takes whole numbers from 0 to 5, got"):
        job(COLUMNS, **SPEC, preprocess=[{"type": "standardize"}])


def test_other_data_than_was_resolved_for_is_refused_naming_the_row(job: Any) -> None:
    resolved, _ = job(COLUMNS, **SPEC)
    with pytest.raises(InvalidData, match=r"row 3: .* got 7"):
        TrainingData.prepare(resolved, read_columns(COLUMNS | {"words": [[1, 2, 0], [3, 3, 5], [4, 7, 0], [2, 1, 3]]}))


@pytest.mark.parametrize("token", [6, -1, 0.5, 1e300])
def test_a_prediction_of_unknown_tokens_is_refused_naming_the_row(job: Any, token: float) -> None:
    trainer = Trainer(*job(COLUMNS, **SPEC, dtype="float64"))
    with pytest.raises(InvalidData) as refused:
        Predictor(trainer.artifact("last")).predict({"words": [[1, 2, 3], [1, 2, token]]})
    assert refused.value.faults[0].pointer == "/inputs/1"
    assert refused.value.faults[0].message.startswith("row 2: ")


DENSE, EMBEDDING = {"type": "dense", "units": 4}, BAG[0]


@pytest.mark.parametrize(
    ("layers", "pointer"),
    [
        ([DENSE, EMBEDDING], "/layers/1"),
        ([EMBEDDING, {"type": "flatten"}, EMBEDDING], "/layers/2"),
        ([{"type": "residual", "layers": [EMBEDDING]}], "/layers/0/layers/0"),
    ],
)
def test_it_stands_first_and_nowhere_else(layers: list[Any], pointer: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        NetworkSpec.model_validate({"layers": layers}).output_shape((4,))
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_items_that_are_no_tokens_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidSpec, match="embedding layer takes items of shape"):
        Embedding(vocabulary=3, dimensions=2).output_shape(shape)


@pytest.mark.parametrize(
    "wrong", [{"vocabulary": 0}, {"vocabulary": 2**24 + 1}, {"dimensions": 0}, {"padding_index": 3}, {"padding_index": -1}]
)
def test_a_wrong_definition_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Embedding.model_validate({"vocabulary": 3, "dimensions": 2} | wrong)
