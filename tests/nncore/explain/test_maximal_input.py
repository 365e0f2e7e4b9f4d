"""The input that a unit answers most strongly, where theory knows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.artifact import Artifact
from nncore.errors import InvalidData
from nncore.explain import layer_activations, maximal_input
from nncore.network import NetworkSpec
from tests.nncore.formats.networks import artifact_and_inputs


def units(weight: list[list[float]], activation: str = "linear") -> Artifact:
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": len(weight), "activation": activation, "use_bias": False}]})
    weights = np.array(weight)
    return Artifact(network, "mean_squared_error", ("x",), (weights.shape[1],), "y", None, [], "float64", {"0.weight": weights})


def test_of_a_linear_unit_with_decay_it_is_the_weight_by_the_decay() -> None:
    found = maximal_input(units([[1.0, -2.0], [3.0, 0.0]]), 0, 0, decay=0.5, rate=0.5, steps=100)
    np.testing.assert_allclose(found.inputs, [2.0, -4.0], rtol=1e-7)
    assert found.activation == pytest.approx(10.0)


def test_within_bounds_it_is_a_corner() -> None:
    found = maximal_input(units([[1.0, -2.0, 0.5]], "tanh"), 0, 0, bounds=(-0.3, 0.4), rate=1.0)
    np.testing.assert_array_equal(found.inputs, [0.4, -0.3, 0.4])


def test_the_path_rises_and_ends_at_what_is_told() -> None:
    artifact, _ = artifact_and_inputs("conv2d-0", "float64")
    found = maximal_input(artifact, 2, (1, 0, 2), steps=50, rate=0.05, decay=0.1)
    assert len(found.path) == 51
    assert found.activation == found.path.max() > found.path[0]
    assert layer_activations(artifact, found.inputs[None])[2][0, 1, 0, 2] == pytest.approx(found.activation, rel=1e-12)


def test_it_starts_where_it_is_told_and_ends_the_same_every_time() -> None:
    artifact = units([[1.0, 1.0]], "sigmoid")
    assert maximal_input(artifact, 0, 0, steps=0, start=np.array([1.0, 2.0])).inputs.tolist() == [1.0, 2.0]
    one, other = (maximal_input(artifact, 0, 0, seed=seed, steps=3).inputs.tolist() for seed in (1, 2))
    assert one == maximal_input(artifact, 0, 0, seed=1, steps=3).inputs.tolist() != other


@pytest.mark.parametrize(
    ("layer", "unit", "message"),
    [(1, 0, "layer from 0 to 0, got 1"), (-1, 0, "layer from 0 to 0"), (0, 2, r"unit below \(1,\)"), (0, (0, 0), r"unit below \(1,\)")],
)
def test_a_unit_that_is_not_there_is_refused(layer: int, unit: Any, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        maximal_input(units([[1.0, 1.0]]), layer, unit)
