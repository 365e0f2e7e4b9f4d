"""What every layer makes of some rows: the numbers on their way through the network in use."""

from __future__ import annotations

from math import prod

import numpy as np

from nncore.artifact import Artifact
from nncore.explain.input_gradients import checked_inputs
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.machine.run import SUMS


def layer_activations(artifact: Artifact, inputs: np.ndarray) -> list[np.ndarray]:
    """What comes out of each layer of the network, with its activation: a list of (rows, *shape of an item).

    inputs: (rows, *input_shape), preprocessed. Layers within others are not told apart. Raises InvalidData for another shape.
    """
    inputs = checked_inputs(artifact, inputs)
    machine = Machine(Program(artifact.network, artifact.input_shape), artifact.dtype)
    machine.load(artifact.parameters)
    plan, rows, at_once = machine.program.evaluation, Rows.of(inputs), machine.program.block_rows
    found = [np.empty((len(inputs), *value.shape), inputs.dtype) for value in plan.layer_outputs]
    places = [plan.resolve(value.at) for value in plan.layer_outputs]
    nowhere = np.empty((0, plan.outputs.size), inputs.dtype)
    for begin in range(0, len(inputs), at_once):
        order = np.arange(begin, min(begin + at_once, len(inputs)))
        machine.run_blocks(np.zeros(SUMS), rows, order, nowhere)
        for values, place in zip(found, places, strict=True):
            numbers = machine.arena[place:][: len(order) * prod(values.shape[1:])]
            values[begin : begin + len(order)] = numbers.reshape(len(order), *values.shape[1:])
    return found
