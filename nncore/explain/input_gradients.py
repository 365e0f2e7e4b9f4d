"""How much an output would change with each input of a row: the slope of the output along every input, at that row.

Large slopes say where the network looks, and a linear network says by them all it knows. They are slopes of the network in use (dropout
does nothing, batch_norm goes by its running statistics), of an output before any softmax or sigmoid of the loss, along the inputs as the
network takes them, preprocessed.

Source: Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks" (2013), arXiv 1312.6034, 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidData, InvalidSpec
from nncore.explain.compared import finite_inputs
from nncore.explain.weighted_outputs import WeightedOutputs
from nncore.layers import Embedding
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.machine.run import SUMS
from nncore.network import NetworkSpec


class Slopes:
    """The network in use, with the slopes of its outputs along its inputs, for batches of up to `rows` rows.

    Raises InvalidSpec where its inputs are tokens.
    """

    def __init__(
        self, network: NetworkSpec, input_shape: Sequence[int], parameters: Mapping[str, np.ndarray], dtype: str, rows: int = 64
    ) -> None:
        if isinstance(network.layers[0], Embedding):
            message = "the inputs of an embedding are tokens, along which there is no slope; ask for layer_activations, or for its weights"
            raise InvalidSpec(Fault("/layers/0", "no_slope", message, "inputs that are numbers", "tokens"))
        question: Any = WeightedOutputs()
        program = Program(network, input_shape, loss=question, batch_size=rows, gradients="in use")
        self._machine, self._rows = Machine(program, dtype), rows
        self._machine.load(parameters)
        self.input_shape, self.outputs = tuple(input_shape), program.evaluation.outputs.size

    def along(self, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows,) the sum of weights times outputs of each row, and (rows, *input_shape) its slopes along the inputs.

        inputs: (rows, *input_shape), preprocessed. weights: (rows, outputs). Raises InvalidData where slopes are not finite numbers.
        """
        machine, size, dtype = self._machine, prod(self.input_shape), self._machine.dtype
        flat = np.ascontiguousarray(inputs, dtype=dtype).reshape(len(inputs), size)
        rows = Rows.of(flat, np.ascontiguousarray(weights, dtype=dtype))
        slopes, sums = np.empty_like(flat), np.empty(len(flat))
        plan = machine.program.training
        assert plan is not None
        slopes_at, sums_at = plan.resolve(plan.inputs.gradient), plan.resolve(plan.row_losses_at)
        for begin in range(0, len(flat), self._rows):
            count = min(self._rows, len(flat) - begin)
            done = machine.run_steps(np.zeros((1, 1)), np.zeros(SUMS), rows, np.arange(begin, begin + count), 0)
            slopes[begin : begin + count] = machine.arena[slopes_at:][: count * size].reshape(count, size)
            sums[begin : begin + count] = machine.arena[sums_at:][:count]
            if not done or not np.isfinite(slopes[begin : begin + count]).all():
                message = f"rows {begin + 1} to {begin + count}: the slopes leave the numbers that {dtype} holds; send smaller inputs"
                raise InvalidData(Fault("/inputs", "overflow", message, "finite slopes", "infinity"))
        return sums, slopes.reshape(len(inputs), *self.input_shape)


def input_gradients(artifact: Artifact, inputs: np.ndarray, output: int | Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """(rows, *input_shape): the slope of an output along every input of each row.

    inputs: (rows, *input_shape), preprocessed. output: which one, or one for each row; without, the largest of each row.
    Raises InvalidData for another shape, or an output that is not there.
    """
    inputs = checked_inputs(artifact, inputs)
    slopes = Slopes(artifact.network, artifact.input_shape, artifact.parameters, artifact.dtype)
    if output is None:
        each = [slopes.along(inputs, np.tile(row, (len(inputs), 1)))[0] for row in np.eye(slopes.outputs)]
        output = np.argmax(each, axis=0)
    chosen = np.broadcast_to(np.asarray(output), len(inputs))
    if chosen.dtype.kind not in "iu" or chosen.min() < 0 or chosen.max() >= slopes.outputs:
        message = f"expected outputs from 0 to {slopes.outputs - 1}, got {chosen.min()} to {chosen.max()}"
        raise InvalidData(Fault("/output", "no_such_output", message, f"0 to {slopes.outputs - 1}", f"{chosen.min()} to {chosen.max()}"))
    return slopes.along(inputs, np.eye(slopes.outputs)[chosen])[1]


def checked_inputs(artifact: Artifact, inputs: np.ndarray) -> np.ndarray:
    """The inputs as (rows, *input_shape) in the dtype of the network. Raises InvalidData."""
    return finite_inputs(artifact.network, artifact.input_shape, inputs, artifact.dtype)
