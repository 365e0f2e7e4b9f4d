from __future__ import annotations

from typing import Any

import numpy as np

from nncore.network import NetworkSpec


def test_items_of_several_dimensions_become_vectors_in_c_order(one_step: Any) -> None:
    dense = {"type": "dense", "units": 2}
    step = one_step([{"type": "flatten"}, dense], "mean_squared_error", input_shape=(2, 3, 4))
    weight, bias = step.parameters[:48].reshape(2, 24), step.parameters[48:]
    np.testing.assert_allclose(step.evaluated()[1], step.inputs.reshape(5, 24) @ weight.T + bias, rtol=1e-12)


def test_flatten_is_a_module_as_in_torch() -> None:
    network = NetworkSpec.model_validate({"layers": [{"type": "flatten"}, {"type": "dense", "units": 2}]})
    assert [info.name for info in network.parameters((2, 2))] == ["1.weight", "1.bias"]
