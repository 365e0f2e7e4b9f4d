from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nncore.artifact import Artifact
from nncore.errors import InvalidSpec
from nncore.network import NetworkSpec


def artifact() -> Artifact:
    return Artifact(
        network=NetworkSpec.model_validate({"layers": [{"type": "dense", "units": 2}]}),
        loss="mean_squared_error",
        input_names=("a", "b", "c"),
        input_shape=(3,),
        target="t",
        classes=None,
        preprocessing=[],
        dtype="float32",
        parameters={"0.weight": np.zeros((2, 3), np.float32), "0.bias": np.zeros(2, np.float32)},
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"0.weight": np.zeros((2, 3), np.float32)},
        {"0.weight": np.zeros((3, 2), np.float32), "0.bias": np.zeros(2, np.float32)},
        {"0.weight": np.zeros((2, 3), np.float32), "0.bias": np.zeros(2, np.float64)},
        {"0.weight": np.zeros((2, 3), np.float32), "0.bias": np.zeros(2, np.float32), "1.bias": np.zeros(2, np.float32)},
    ],
)
def test_parameters_that_are_not_the_networks_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec) as refused:
        replace(artifact(), parameters=parameters)
    assert refused.value.faults[0].pointer == "/parameters"
