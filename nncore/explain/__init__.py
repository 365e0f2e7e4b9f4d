"""What a network has learned, and whether it learned rightly. Arrays go in, arrays come out, and the same ones every time.

permutation_importance   how much worse the answers are when a column says nothing
input_gradients          how an output changes with each input of a row
layer_activations        what every layer makes of some rows
maximal_input            an input that a unit answers most strongly
loss_along_line, loss_over_plane   the loss around the parameters that were found
gradient_check           back-propagation against differences of the loss
"""

from nncore.explain.gradient_check import GradientReport, ParameterCheck, gradient_check
from nncore.explain.input_gradients import input_gradients
from nncore.explain.layer_activations import layer_activations
from nncore.explain.loss_slices import LossLine, LossPlane, loss_along_line, loss_over_plane
from nncore.explain.maximal_input import MaximalInput, maximal_input
from nncore.explain.permutation_importance import Importance, permutation_importance

__all__ = [
    "GradientReport",
    "Importance",
    "LossLine",
    "LossPlane",
    "MaximalInput",
    "ParameterCheck",
    "gradient_check",
    "input_gradients",
    "layer_activations",
    "loss_along_line",
    "loss_over_plane",
    "maximal_input",
    "permutation_importance",
]
