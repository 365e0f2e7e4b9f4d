from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.network import NetworkSpec


def network(*layers: dict[str, Any]) -> NetworkSpec:
    return NetworkSpec.model_validate({"layers": list(layers)})


def dense(units: int) -> dict[str, Any]:
    return {"type": "dense", "units": units}


def test_the_input_is_added_to_what_the_inner_layers_make_of_it(one_step: Any) -> None:
    step = one_step([{"type": "residual", "layers": [dense(4)]}], "mean_squared_error")
    weight, bias = step.parameters[:16].reshape(4, 4), step.parameters[16:]
    np.testing.assert_allclose(step.evaluated()[1], step.inputs + step.inputs @ weight.T + bias, rtol=1e-12)


def test_parameters_are_named_by_the_tree_of_modules() -> None:
    inner = {"type": "residual", "layers": [{"type": "dropout", "rate": 0.1}, dense(3)]}
    names = [info.name for info in network(dense(3), {"type": "residual", "layers": [dense(3), inner]}, dense(1)).parameters((2,))]
    assert names == [
        *("0.weight", "0.bias"),
        *("1.layers.0.weight", "1.layers.0.bias", "1.layers.1.layers.1.weight", "1.layers.1.layers.1.bias"),
        *("2.weight", "2.bias"),
    ]


def test_a_layer_within_that_does_not_fit_is_named_by_its_whole_pointer() -> None:
    wrong = network(dense(2), {"type": "residual", "layers": [dense(2), {"type": "residual", "layers": [dense(5), dense(7)]}]})
    with pytest.raises(InvalidSpec) as refused:
        wrong.output_shape((3,))
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.expected, fault.got) == ("/layers/1/layers/1/layers/1", "[2]", "[7]")


def test_a_layer_within_of_unthinkable_size_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(InvalidSpec) as refused:
        network({"type": "residual", "layers": [dense(10**400), dense(3)]}).parameters((3,))
    assert refused.value.faults[0].pointer == "/layers/0/layers/0"


def test_given_parameters_within_can_be_taken_out() -> None:
    given = network({"type": "residual", "layers": [{"type": "dense", "units": 1, "weight": [[2.0]], "bias": [1.0]}]})
    assert given.without_parameters() == network({"type": "residual", "layers": [dense(1)]})
