"""Weights go from PyTorch to us and from us to PyTorch, and the answers stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from nncore import formats
from nncore.errors import InvalidFile, InvalidSpec
from nncore.formats import pytorch
from nncore.network import NetworkSpec
from nncore.predictor import Predictor
from tests.nncore.formats.networks import WHOLE, artifact_and_inputs
from tests.nncore.test_gradients import NETWORKS


@pytest.fixture
def equal_model(torch_network: Any) -> Any:
    """(artifact) -> the equal torch.nn.Sequential, in use, with other parameters."""

    def build(artifact: Any) -> Any:
        statistics = (".running_mean", ".running_var")
        sizes = [values.size for name, values in artifact.parameters.items() if not name.endswith(statistics)]
        return torch_network(artifact.network, artifact.input_shape, np.full(sum(sizes), 0.1)).eval()

    return build


@pytest.mark.oracle
@pytest.mark.parametrize("name", [*NETWORKS, *WHOLE])
def test_our_weights_load_into_the_equal_torch_model(name: str, equal_model: Any) -> None:
    torch, load = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").load
    artifact, inputs = artifact_and_inputs(name, "float64")
    model = equal_model(artifact)
    model.load_state_dict(load(formats.write(artifact, "safetensors")), strict=True)
    expected = Predictor(artifact).predict({"x": inputs}).outputs
    answer = model(torch.tensor(inputs)).detach().numpy().reshape(len(inputs), -1)
    np.testing.assert_allclose(answer, expected, atol=1e-13, rtol=1e-11)


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*NETWORKS, *WHOLE])
def test_what_torch_saved_answers_here_as_it_did_there(name: str, dtype: str, equal_model: Any) -> None:
    torch, save = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save
    artifact, inputs = artifact_and_inputs(name, dtype)
    model = equal_model(artifact).to(getattr(torch, dtype))
    torch.manual_seed(5)
    for values in model.state_dict().values():
        if values.is_floating_point():
            values.copy_(torch.rand_like(values) + 0.1)
    read = pytorch.read(save(model.state_dict()), artifact.network, artifact.input_shape)
    assert read.dtype == dtype or not read.parameters
    answer = model(torch.tensor(inputs)).detach().numpy().reshape(len(inputs), -1)
    tolerance = {"atol": 1e-12, "rtol": 1e-11} if dtype == "float64" else {"atol": 1e-4, "rtol": 1e-4}
    np.testing.assert_allclose(Predictor(read).predict({"x": inputs}).outputs, answer, **tolerance)


NETWORK = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 3, "activation": "relu"}, {"type": "dense", "units": 2}]})
TENSORS = {
    "0.weight": np.ones((3, 4), np.float32),
    "0.bias": np.ones(3, np.float32),
    "2.weight": np.ones((2, 3), np.float32),
    "2.bias": np.ones(2, np.float32),
}


def saved(**changed: Any) -> bytes:
    """The tensors with some of them replaced, or left out (None)."""
    tensors = {**TENSORS, **{name.replace("_", "."): values for name, values in changed.items()}}
    return safetensors.numpy.save({name: values for name, values in tensors.items() if values is not None})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    given = saved(**{"0_weight": np.ones((4, 3), np.float32), "2_bias": None, "4_weight": np.ones((1, 2), np.float32)})
    with pytest.raises(InvalidFile) as refused:
        pytorch.read(given, NETWORK, (4,))
    assert str(refused.value) == (
        "the tensors are not those of the network: 0.weight: expected [3, 4], got [4, 3]; 2.bias: expected [2], got no such tensor; "
        "4.weight: belongs to no layer, of shape [1, 2]"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3, np.int64), "0.bias: expected float32 or float64, got int64"),
        (np.array([1, np.nan, 2], np.float32), "0.bias: holds NaN or infinity"),
    ],
)
def test_numbers_that_cannot_be_parameters_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidFile, match=message):
        pytorch.read(saved(**{"0_bias": values}), NETWORK, (4,))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"{}", bytes(100), saved()[:-3]])
def test_what_is_no_safetensors_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidFile):
        pytorch.read(data, NETWORK, (4,))


def test_a_network_that_does_not_fit_its_inputs_is_refused() -> None:
    with pytest.raises(InvalidSpec):
        pytorch.read(saved(), NETWORK, (4, 2))


def test_a_hundred_wrong_tensors_are_told_in_a_readable_answer() -> None:
    many = {f"{number}.weight": np.ones(1, np.float32) for number in range(10, 110)}
    with pytest.raises(InvalidFile, match="and 84 more"):
        pytorch.read(safetensors.numpy.save(many), NETWORK, (4,))


def test_names_within_a_module_of_the_users_and_counters_are_understood() -> None:
    tensors = {f"model.net.{name}": values for name, values in TENSORS.items()} | {"model.net.1.num_batches_tracked": np.array([3])}
    read = pytorch.read(safetensors.numpy.save(tensors), NETWORK, (4,), loss="softmax_cross_entropy", classes=["a", "b"])
    assert list(read.parameters) == list(TENSORS)
    assert (read.loss, read.classes) == ("softmax_cross_entropy", ("a", "b"))


def test_half_precision_becomes_float32() -> None:
    read = pytorch.read(saved(**{name.replace(".", "_"): values.astype(np.float16) for name, values in TENSORS.items()}), NETWORK, (4,))
    assert (read.dtype, read.parameters["0.weight"].dtype) == ("float32", np.float32)
