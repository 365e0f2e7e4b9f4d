"""What every layer gives is what the network cut off behind it answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nncore.errors import InvalidData
from nncore.explain import layer_activations
from nncore.machine.program import Program
from nncore.network import NetworkSpec
from nncore.predictor import Predictor
from tests.nncore.formats.networks import EVERY_NETWORK, artifact_and_inputs

SOME = [
    "conv2d-1",
    "lstm-3",
    "batch_norm-0",
    "parallel-0",
    "residual-0",
    "whole-texts",
    "whole-pictures",
    "activation-gelu",
    "dropout-first",
]


@pytest.mark.parametrize("name", SOME)
def test_each_layer_gives_what_the_network_cut_off_behind_it_answers(name: str) -> None:
    artifact, inputs = artifact_and_inputs(name, "float64")
    found = layer_activations(artifact, inputs)
    assert len(found) == len(EVERY_NETWORK[name])
    for number, values in enumerate(found):
        network = NetworkSpec(layers=artifact.network.layers[: number + 1])
        parameters = {info.name: artifact.parameters[info.name] for info in network.parameters(artifact.input_shape)}
        cut = replace(artifact, network=network, parameters=parameters)
        assert values.shape[1:] == network.output_shape(artifact.input_shape)
        np.testing.assert_array_equal(values.reshape(len(inputs), -1), Predictor(cut).predict({"x": inputs}).outputs)


def test_more_rows_than_go_through_at_once() -> None:
    artifact, inputs = artifact_and_inputs("dense-0", "float32", rows=2 * 1024 + 3)
    assert Program(artifact.network, artifact.input_shape).block_rows < len(inputs)
    last = layer_activations(artifact, inputs)[-1]
    np.testing.assert_array_equal(last, Predictor(artifact).predict({"x": inputs}).outputs)


def test_inputs_of_another_shape_are_refused() -> None:
    artifact, _ = artifact_and_inputs("dense-0", "float32")
    with pytest.raises(InvalidData, match=r"expected inputs of shape \(rows, 4\), got \(2, 5\)"):
        layer_activations(artifact, np.ones((2, 5)))
