from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from nncore.errors import InvalidSpec
from nncore.network import NetworkSpec


def network(*layers: dict[str, Any]) -> NetworkSpec:
    return NetworkSpec.model_validate({"layers": list(layers)})


DENSE = {"type": "dense", "units": 2}


def test_names_and_shapes_are_those_of_the_equal_torch_sequential() -> None:
    layers = [DENSE | {"activation": "tanh"}, {"type": "dropout", "rate": 0.1}, DENSE, DENSE | {"activation": "relu", "use_bias": False}]
    assert network(*layers).parameters((3,)) == [
        ("0.weight", (2, 3)),
        ("0.bias", (2,)),
        ("3.weight", (2, 2)),  # tanh is module 1, dropout 2
        ("3.bias", (2,)),
        ("4.weight", (2, 2)),
    ]


def test_shapes_are_told_from_layer_to_layer() -> None:
    assert network({"type": "flatten"}, DENSE, {"type": "dropout", "rate": 0.5}).shapes((4, 5)) == [(4, 5), (20,), (2,), (2,)]
    assert network(DENSE).output_shape([7]) == (2,)


def test_a_layer_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidSpec) as refused:
        network(DENSE, {"type": "dropout", "rate": 0.5}, DENSE | {"weight": [[1.0], [2.0]]}).output_shape((3,))
    assert [fault.pointer for fault in refused.value.faults] == ["/layers/2/weight"]


def test_a_network_needs_a_layer_and_only_known_ones() -> None:
    for layers in ([], [{"type": "dens"}], [{"units": 2}]):
        with pytest.raises(ValidationError):
            NetworkSpec.model_validate({"layers": layers})


def test_given_parameters_can_be_taken_out() -> None:
    given = network(DENSE | {"weight": [[1.0], [2.0]], "threshold": [0.5, 0.5]}, {"type": "dropout", "rate": 0.5})
    assert given.without_parameters() == network(DENSE, {"type": "dropout", "rate": 0.5})
