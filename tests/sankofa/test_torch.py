"""Trained networks as torch modules: they answer what the service answers."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nncore import formats
from nncore.predictor import Predictor
from sankofa import InvalidInput
from sankofa.in_torch import torch_module
from tests.nncore.formats.networks import EVERY_NETWORK, artifact_and_inputs, artifact_of_columns
from tests.sankofa.fake_service import Answer, FakeService, job_document

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch", reason="no torch")
SCALED = [
    {"type": "impute", "columns": {"x": {"fill": [0.5, 1.0, -1.0, 2.0]}}},
    {"type": "standardize", "columns": {"x": {"offset": [1.0, 2.0, 3.0, 4.0], "scale": [0.5, 1.0, 2.0, 3.0]}}},
]


def answer_of(model: Any, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model(torch.tensor(inputs)).reshape(len(inputs), -1))


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_every_network_answers_in_torch_what_it_answers_here(name: str) -> None:
    artifact, inputs = artifact_and_inputs(name, "float64")
    model = torch_module(formats.write(artifact, "safetensors"))
    np.testing.assert_allclose(answer_of(model, inputs), Predictor(artifact).predict({"x": inputs}).outputs, atol=1e-13, rtol=1e-11)
    counted = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    assert set(counted) == set(artifact.parameters), "the names are those of the file"


@pytest.mark.parametrize("name", ["whole-texts", "padding-alone", "whole-pictures"])
def test_a_module_is_copied_with_all_that_belongs_to_it(name: str) -> None:
    artifact, inputs = artifact_and_inputs(name, "float64")
    model = torch_module(formats.write(artifact, "safetensors"))
    twin = copy.deepcopy(model)
    answer_of(model, inputs[::-1].copy())
    np.testing.assert_array_equal(answer_of(twin, inputs), answer_of(model, inputs))


def test_preprocessing_stands_in_front_or_is_left_out() -> None:
    artifact, inputs = artifact_and_inputs("one-layer", "float32", preprocessing=SCALED)
    inputs[0, 1] = np.nan
    data = formats.write(artifact, "safetensors")
    model = torch_module(data)
    np.testing.assert_allclose(answer_of(model, inputs), Predictor(artifact).predict({"x": inputs}).outputs, rtol=1e-6)
    bare = torch_module(data, preprocessing=False)
    assert [type(module).__name__ for module in bare] == ["Linear"]
    np.testing.assert_array_equal(answer_of(model.preprocessing, inputs)[0, 1], np.float32(-1.0))
    np.testing.assert_array_equal(answer_of(bare, answer_of(model.preprocessing, inputs)), answer_of(model, inputs))


def test_columns_stand_side_by_side_and_some_are_left_as_they_are() -> None:
    artifact, rows = artifact_of_columns("float64", "age", "size")
    model = torch_module(formats.write(artifact, "safetensors"))
    together = np.column_stack([rows["age"], rows["size"]])
    np.testing.assert_allclose(answer_of(model, together), Predictor(artifact).predict(rows).outputs, rtol=1e-12)


def test_a_scaled_target_is_answered_in_its_own_unit() -> None:
    scaled = {"type": "standardize", "offset": [100.0, 200.0, 300.0], "scale": [5.0, 6.0, 7.0]}
    artifact, inputs = artifact_and_inputs("one-layer", "float64", target_preprocessing=scaled)
    data = formats.write(artifact, "safetensors")
    expected = Predictor(artifact).predict({"x": inputs}).outputs
    assert expected.mean() > 100
    np.testing.assert_allclose(answer_of(torch_module(data), inputs), expected, rtol=1e-12)
    assert np.abs(answer_of(torch_module(data, preprocessing=False), inputs)).max() < 10


@pytest.mark.parametrize("name", ["colour", "income", "sound", "review"])
def test_a_step_without_equal_is_told_with_what_to_do(name: str) -> None:
    data = formats.write(artifact_of_columns("float32", name)[0], "safetensors")
    with pytest.raises(InvalidInput, match=r"step \w+ has no equal in torch; job.to_torch\(preprocessing=False\)"):
        torch_module(data)
    assert len(torch_module(data, preprocessing=False)) == 3


def test_a_layer_that_torch_does_not_know_is_told() -> None:
    from sankofa.in_torch.layers import sequential

    for layer, named in (({"type": "capsule"}, "type capsule"), ({"type": "activation", "activation": "snake"}, "activation snake")):
        with pytest.raises(InvalidInput, match=f"{named} has no equal in torch"):
            sequential([layer], torch.zeros(1, 4))


def test_it_is_in_use_and_can_go_on_training_and_nobodys_random_numbers_change() -> None:
    artifact, inputs = artifact_and_inputs("whole-pictures", "float32")
    torch.manual_seed(3)
    model = torch_module(formats.write(artifact, "safetensors"))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert drawn == torch.rand(1)
    assert not model.training
    model.train()(torch.tensor(inputs)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_job_gives_its_network() -> None:
    artifact, inputs = artifact_and_inputs("one-layer", "float32")
    service = FakeService(Answer(200, job_document("succeeded")), *[Answer(200, formats.write(artifact, "safetensors"))] * 2)
    job = service.client().job("job_1")
    np.testing.assert_allclose(answer_of(job.to_torch("last"), inputs), Predictor(artifact).predict({"x": inputs}).outputs, atol=1e-6)
    assert service.requests[1].query == {"format": "safetensors", "snapshot": "last"}
    assert len(job.to_torch(preprocessing=False)) == 1


def test_a_file_that_is_not_ours_is_told() -> None:
    import safetensors.numpy

    with pytest.raises(InvalidInput, match="says nothing of a network"):
        torch_module(safetensors.numpy.save({"x": np.ones(2)}))


def test_without_torch_it_is_told_what_is_missing() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from sankofa.in_torch import torch_module\n"
        "try: torch_module(b'')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "InvalidInput job.to_torch() needs PyTorch: pip install torch\n"
