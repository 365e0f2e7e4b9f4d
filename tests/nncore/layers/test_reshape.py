from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nncore.errors import InvalidSpec
from nncore.layers import Reshape


def test_the_numbers_stay_in_their_order(one_step: Any) -> None:
    step = one_step([{"type": "reshape", "shape": [2, -1]}, {"type": "flatten"}], "mean_squared_error", input_shape=(6,))
    np.testing.assert_array_equal(step.evaluated()[1], step.inputs)


def test_one_length_may_be_computed() -> None:
    assert Reshape(shape=[-1, 2, 3]).output_shape((4, 6)) == (4, 2, 3)


@pytest.mark.parametrize("shape", [[5, 2], [-1, 4], [3]])
def test_a_shape_of_other_numbers_is_refused(shape: list[int]) -> None:
    with pytest.raises(InvalidSpec) as refused:
        Reshape(shape=shape).output_shape((6,))
    assert refused.value.faults[0].pointer == "/shape"
    assert "6 numbers" in refused.value.faults[0].message


@pytest.mark.parametrize("shape", [[], [0, 2], [-1, -1], [-2], [1, 1, 1, 1, 1], [2.0]])
def test_what_is_no_shape_is_refused(shape: list[Any]) -> None:
    with pytest.raises(ValidationError):
        Reshape.model_validate({"shape": shape})
