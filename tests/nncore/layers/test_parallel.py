from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.layers import Parallel
from nncore.network import NetworkSpec


def dense(units: int) -> dict[str, Any]:
    return {"type": "dense", "units": units}


def parallel(*branches: list[dict[str, Any]], **fields: Any) -> Parallel:
    return Parallel.model_validate({"branches": list(branches), **fields})


def test_branches_are_laid_side_by_side(one_step: Any) -> None:
    step = one_step([{"type": "parallel", "branches": [[dense(3)], []]}], "mean_squared_error")
    weight, bias = step.parameters[:12].reshape(3, 4), step.parameters[12:]
    np.testing.assert_allclose(step.evaluated()[1], np.hstack([step.inputs @ weight.T + bias, step.inputs]), rtol=1e-12)


def test_branches_are_summed(one_step: Any) -> None:
    step = one_step([{"type": "parallel", "merge": "add", "branches": [[], [], []]}, {"type": "flatten"}], "mean_squared_error")
    np.testing.assert_allclose(step.evaluated()[1], 3 * step.inputs, rtol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_items_of_several_dimensions_are_laid_side_by_side_along_any_of_them(axis: int, one_step: Any) -> None:
    layers = [{"type": "parallel", "branches": [[], []], "axis": axis}, {"type": "flatten"}]
    step = one_step(layers, "mean_squared_error", input_shape=(2, 3))
    expected = np.concatenate([step.inputs, step.inputs], axis=axis + 1 if axis >= 0 else axis)
    assert parallel([], [], axis=axis).output_shape((2, 3)) == expected.shape[1:]
    np.testing.assert_array_equal(step.evaluated()[1], expected.reshape(5, 12))


def test_parameters_are_named_by_branch() -> None:
    layers = [dense(2), {"type": "parallel", "branches": [[], [dense(3), dense(1)], [dense(1)]]}, dense(4)]
    parameters = NetworkSpec.model_validate({"layers": layers}).parameters((2,))
    assert [info.name for info in parameters if info.name.endswith("weight")] == [
        *("0.weight", "1.branches.1.0.weight", "1.branches.1.1.weight", "1.branches.2.0.weight", "2.weight")
    ]
    assert parameters[-2].shape == (4, 4)  # 2 that are passed on, and 1 from either other branch


@pytest.mark.parametrize(
    ("layer", "pointer", "says"),
    [
        (parallel([dense(2)], [dense(3)], merge="add"), "/branches/1", "the same shape"),
        (parallel([], [{"type": "flatten"}], axis=1), "/branches/1", "but for dimension 1"),
        (parallel([{"type": "flatten"}], axis=1), "/axis", "no dimension 1"),
        (parallel([], [dense(3)]), "/branches/1/0", "flatten"),
        (parallel([{"type": "flatten"}, {"type": "residual", "layers": [dense(3)]}]), "/branches/0/1/layers/0", "keep the shape"),
    ],
)
def test_branches_that_do_not_fit_are_named(layer: Parallel, pointer: str, says: str) -> None:
    shape = (4,) if layer.merge == "add" else (2, 2)
    with pytest.raises(InvalidSpec) as refused:
        layer.output_shape(shape)
    assert refused.value.faults[0].pointer == pointer
    assert says in refused.value.faults[0].message
