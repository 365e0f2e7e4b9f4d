"""The node cases of ONNX for SoftmaxCrossEntropyLoss and NegativeLogLikelihoodLoss.

Items of several axes (rows, classes, d1, d2) are rows of one item each here: the classes go last, and all else is one axis of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.activations import LOG_SOFTMAX, activate
from nncore.losses import LossSpec
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.machine.run import LOSS_SUM, ROW_LOSSES, ROW_SUM
from nncore.network import NetworkSpec

KINDS = {"SoftmaxCrossEntropyLoss": "softmax_cross_entropy", "NegativeLogLikelihoodLoss": "negative_log_likelihood"}
COUNTS = {"SoftmaxCrossEntropyLoss": 34, "NegativeLogLikelihoodLoss": 18}


def cases_of(onnx_cases: dict[str, Any], operator: str) -> dict[str, Any]:
    return {name: case for name, case in onnx_cases.items() if [node.op_type for node in case.model.graph.node] == [operator]}


def flat(numbers: np.ndarray) -> np.ndarray:
    """(rows, classes, ...) -> (all rows, classes)."""
    return np.ascontiguousarray(np.moveaxis(numbers, 1, -1).reshape(-1, numbers.shape[1]))


def computed(operator: str, node: Any, inputs: list[np.ndarray]) -> np.ndarray:
    """The loss as the attributes want it reduced: one number, or one per row in the shape of the labels."""
    attributes = {each.name: each.i if each.name == "ignore_index" else each.s.decode() for each in node.attribute}
    spec = {"type": KINDS[operator], "ignore_index": attributes.get("ignore_index")}
    if len(inputs) > 2:
        spec["class_weights"] = inputs[2].tolist()
    outputs, labels = flat(inputs[0]), inputs[1].astype(np.int64).ravel()
    network = NetworkSpec.model_validate({"layers": [{"type": "flatten"}]})
    loss = TypeAdapter(LossSpec).validate_python(spec)
    program = Program(network, outputs.shape[1:], loss=loss)
    machine, sums, data, of_rows = Machine(program, "float32"), np.zeros(2), Rows.of(outputs, labels=labels), []
    for first in range(0, len(labels), program.block_rows):
        order = np.arange(first, min(first + program.block_rows, len(labels)))
        machine.run_blocks(sums, data, order, np.empty((0, outputs.shape[1]), np.float32))
        of_rows.append(machine.arena[machine._evaluation.places[ROW_LOSSES] :][: len(order)].copy())
    reduction = attributes.get("reduction", "mean")
    if reduction == "none":
        return np.concatenate(of_rows).reshape(inputs[1].shape)
    return np.array(sums[LOSS_SUM] / (sums[ROW_SUM] if reduction == "mean" else 1))


@pytest.mark.oracle
@pytest.mark.parametrize("operator", KINDS)
def test_every_case_gives_the_loss_of_onnx(operator: str, onnx_cases: dict[str, Any]) -> None:
    found = cases_of(onnx_cases, operator)
    assert len(found) == COUNTS[operator]
    for name, case in found.items():
        for inputs, outputs in case.data_sets:
            loss = computed(operator, case.model.graph.node[0], [np.asarray(each) for each in inputs])
            np.testing.assert_allclose(loss, outputs[0], rtol=1e-5, atol=1e-6, err_msg=name)  # ONNX adds up in float32
            if len(outputs) == 2:  # the logarithms of the probabilities, too
                logarithms = flat(np.asarray(inputs[0]))
                activate(LOG_SOFTMAX, logarithms)
                np.testing.assert_allclose(logarithms, flat(np.asarray(outputs[1])), rtol=2e-6, atol=1e-6, err_msg=name)
