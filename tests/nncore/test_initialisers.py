"""Initialisers: how wide they draw, and that layers begin with what they drew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from nncore.initialisers import WeightInitialiser
from nncore.layers import Dense
from nncore.network import NetworkSpec
from nncore.spec import TrainingSpec, faults_of


def drawn(shape: tuple[int, ...], seed: int = 0, **fields: Any) -> np.ndarray:
    values: np.ndarray = TypeAdapter(WeightInitialiser).validate_python(fields).draw(np.random.default_rng(seed), shape)
    return values


VARIANCES = {"glorot": lambda inputs, outputs: 2 / (inputs + outputs), "he": lambda i, _: 2 / i, "lecun": lambda i, _: 1 / i}


@pytest.mark.parametrize(("shape", "fans"), [((300, 100), (100, 300)), ((40, 30, 3, 3), (270, 360))])
@pytest.mark.parametrize("rule", VARIANCES)
def test_scaled_ones_have_their_variance(rule: str, shape: tuple[int, ...], fans: tuple[int, int]) -> None:
    variance = VARIANCES[rule](*fans)
    normal, uniform = drawn(shape, type=f"{rule}_normal"), drawn(shape, type=f"{rule}_uniform")
    assert normal.shape == uniform.shape == shape
    assert normal.var() == pytest.approx(variance, rel=0.05)
    assert np.abs(normal).max() > 3 * variance**0.5
    assert np.abs(uniform).max() == pytest.approx((3 * variance) ** 0.5, rel=1e-2)
    assert np.abs(uniform).max() < (3 * variance) ** 0.5
    assert uniform.var() == pytest.approx(variance, rel=0.05)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(300, 100), (40, 30, 3, 3)])
def test_scaled_ones_are_as_wide_as_those_of_torch(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    init = torch.nn.init
    torch.manual_seed(0)
    for name, fill in {
        "glorot_uniform": init.xavier_uniform_,
        "glorot_normal": init.xavier_normal_,
        "he_uniform": lambda tensor: init.kaiming_uniform_(tensor, nonlinearity="relu"),
        "he_normal": lambda tensor: init.kaiming_normal_(tensor, nonlinearity="relu"),
        "lecun_normal": lambda tensor: init.kaiming_normal_(tensor, nonlinearity="linear"),
    }.items():
        assert drawn(shape, type=name).std() == pytest.approx(fill(torch.empty(shape)).std().item(), rel=0.03)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3)])
def test_an_orthogonal_weight_has_rows_or_columns_at_right_angles(shape: tuple[int, ...]) -> None:
    weight = drawn(shape, type="orthogonal", gain=2.0).reshape(shape[0], -1)
    rows, columns = weight.shape
    product = weight @ weight.T if rows <= columns else weight.T @ weight
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=1e-12)
    assert drawn(shape, type="orthogonal").shape == shape


def test_orthogonal_matrices_lean_to_no_side() -> None:
    first = [drawn((2, 2), seed, type="orthogonal")[0, 0] for seed in range(400)]
    assert abs(np.mean(first)) < 0.1


def test_normal_zeros_and_constant() -> None:
    assert drawn((200, 200), type="normal").std() == pytest.approx(1, rel=0.02)
    assert drawn((200, 200), type="normal", deviation=0.1).std() == pytest.approx(0.1, rel=0.02)
    assert not drawn((2, 3), type="zeros").any()
    assert drawn((2, 3), type="constant", value=-0.5).tolist() == [[-0.5] * 3] * 2


def test_a_dense_layer_begins_with_what_was_drawn(one_step: Any) -> None:
    layer = {"type": "dense", "units": 200, "initialiser": {"type": "normal"}, "bias_initialiser": {"type": "constant", "value": 0.25}}
    step = one_step([layer, {"type": "dense", "units": 3}], "mean_squared_error", input_shape=(100,))
    assert step.parameters[:20_000].std() == pytest.approx(1, rel=0.03)
    assert (step.parameters[20_000:20_200] == 0.25).all()
    assert 0 < np.abs(step.parameters[20_200:]).max() < 200**-0.5
    again = one_step([layer, {"type": "dense", "units": 3}], "mean_squared_error", input_shape=(100,))
    assert again.parameters.tobytes() == step.parameters.tobytes()


def test_a_trained_network_does_not_say_how_it_began() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 2, "initialiser": {"type": "he_normal"}}]})
    assert network.without_parameters() == NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 2}]})


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"initialiser": {"type": "xavier"}}, "/initialiser/type"),
        ({"initialiser": {"type": "he_normal", "gain": 2.0}}, "/initialiser/gain"),
        ({"initialiser": {"type": "orthogonal", "gain": 0}}, "/initialiser/gain"),
        ({"initialiser": {"type": "constant"}}, "/initialiser/value"),
        ({"initialiser": {"type": "zeros"}, "weight": [[1.0], [1.0]]}, "/initialiser"),
        ({"bias_initialiser": {"type": "he_normal"}}, "/bias_initialiser/type"),
        ({"bias_initialiser": {"type": "zeros"}, "threshold": [1.0, 1.0]}, "/bias_initialiser"),
        ({"bias_initialiser": {"type": "zeros"}, "use_bias": False}, "/bias_initialiser"),
    ],
)
def test_what_cannot_be_drawn_is_refused_where_it_is_written(wrong: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationError):
        Dense.model_validate({"units": 2, **wrong})
    with pytest.raises(ValidationError) as refused:
        TrainingSpec.model_validate({"network": {"layers": [{"type": "dense", "units": 2, **wrong}]}, "target": "y"})
    assert [fault.pointer for fault in faults_of(refused.value)] == ["/network/layers/0" + pointer]
