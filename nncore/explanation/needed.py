"""Which kernels the answer to a question runs, so that they can be compiled before anybody waits for it."""

from __future__ import annotations

from typing import Any

from nncore.artifact import Artifact
from nncore.explain.weighted_outputs import WeightedOutputs
from nncore.explanation import asked as questions
from nncore.losses import LossSpec
from nncore.machine.kernels import Kernel
from nncore.machine.program import Program


def kernels_needed(asked: questions.ExplainSpec, artifact: Artifact, loss: LossSpec) -> dict[str, list[Kernel]]:
    """By dtype: those of the network, with its loss where that is asked for, and backwards where slopes are."""
    network, shape = artifact.network, artifact.input_shape
    needed: dict[str, list[Kernel]] = {artifact.dtype: Program(network, shape).kernels()}
    match asked:
        case questions.GradientCheck():
            program, dtype = Program(network, shape, loss=loss, gradients="in training"), "float64"
        case questions.LossLine() | questions.LossPlane():
            program, dtype = Program(network, shape, loss=loss), artifact.dtype
        case questions.InputGradients() | questions.MaximalInput():
            question: Any = WeightedOutputs()
            program, dtype = Program(network, shape, loss=question, gradients="in use"), artifact.dtype
        case _:
            return needed
    needed[dtype] = list(dict.fromkeys([*needed.get(dtype, []), *program.kernels()]))
    return needed
