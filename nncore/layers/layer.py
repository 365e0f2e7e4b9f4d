"""What every layer keeps: its shape rule and its lowering into a plan.

A layer is one file: the spec, the shape rule, `lower`, the kernels, and a docstring that says what it computes. To add one, write
that file and add its class to the union in `nncore/layers/__init__.py`; its gradient case in `tests/nncore/layers` is demanded by a test.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from nncore.definition import Definition

if TYPE_CHECKING:
    from nncore.machine.plan import Plan, Value

Shape = tuple[int, ...]


class Layer(Definition):
    """One layer of a network. Shapes are of one item: the batch is not in them."""

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of what comes out. Raises InvalidSpec, with pointers relative to the layer, when `input_shape` does not fit."""

    @abstractmethod
    def lower(self, plan: Plan, x: Value) -> Value:
        """Append the layer to the plan: parameters, space, forward rows, backward rows. Answers where its output lies.

        Names of parameters come from `plan.module()`, called once for every module of the equal torch.nn.Sequential.
        A plan that does not train (`plan.training` is false) wants no backward rows.
        """

    def untrainable(self) -> str | None:
        """Why the layer cannot be trained, with the remedy; None when it can."""
        return None

    def without_parameters(self) -> Layer:
        """The same layer without the parameters that were given in the spec."""
        return self
