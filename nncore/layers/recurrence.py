"""What the layers that read a sequence step by step share: their fields, their shapes, how they are lowered, and pieces of kernels.

A sequence is an item of the shape (steps, features). Inside the kernels time comes first, and a backward direction has its steps turned
around: each direction is a recurrence from its own first step to its own last. The state before the first step is zero.

Parameters of a direction, named as in torch.nn.LSTM, GRU and RNN (`_reverse` follows for the backward one):

    weight_ih_l0  (gates * units, features)     bias_ih_l0  (gates * units,)
    weight_hh_l0  (gates * units, units)        bias_hh_l0  (gates * units,)

Initial parameters are torch's default, uniform in +-1/sqrt(units), unless initialisers draw them, or they are given: of a bidirectional
layer a list of two, the forward direction's and the backward one's.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from nncore.errors import Fault, InvalidSpec
from nncore.initialisers import BiasInitialiser, WeightInitialiser
from nncore.layers.given import Given, check_given
from nncore.layers.layer import Layer, Shape
from nncore.machine.exponential import exponential, tangent
from nncore.machine.kernels import Array, Kernel, jit
from nncore.machine.plan import NOWHERE, Plan, Value

MOST_UNITS = 2**20


class Recurrent(Layer):
    """A recurrence over the steps of a sequence, in one direction or both."""

    given_names: ClassVar[tuple[str, ...]] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    must_be_given: ClassVar[tuple[str, ...]] = ("weight_ih", "weight_hh")
    gates: ClassVar[int]
    """How many vectors of units a step computes from its input."""

    units: Annotated[int, Field(ge=1, le=MOST_UNITS, description="Numbers in the state of a direction.")]
    bidirectional: Annotated[bool, Field(description="Whether a second recurrence reads from the last step to the first.")] = False
    output: Annotated[
        Literal["last", "all"], Field(description='"last": the final state of each direction; "all": the state after every step.')
    ] = "last"
    weight_ih: Annotated[
        Given | None, Field(description="Of shape (gates * units, features), the gates in torch's order; a list of two for two directions.")
    ] = None
    weight_hh: Annotated[Given | None, Field(description="Of shape (gates * units, units), or two of them.")] = None
    bias_ih: Annotated[Given | None, Field(description="Of shape (gates * units,), or two of them.")] = None
    bias_hh: Annotated[Given | None, Field(description="Of shape (gates * units,), or two of them.")] = None
    initialiser: Annotated[WeightInitialiser | None, Field(description="How weight_ih is drawn.")] = None
    recurrent_initialiser: Annotated[WeightInitialiser | None, Field(description="How weight_hh is drawn.")] = None
    bias_initialiser: Annotated[BiasInitialiser | None, Field(description="How both biases are drawn.")] = None

    @abstractmethod
    def kernels(self) -> tuple[Kernel, Kernel]:
        """Forward and backward."""

    @abstractmethod
    def kept(self, steps: int) -> int:
        """Numbers for each row that forward keeps for backward, beside the inputs, and those that both need for a while."""

    def variant(self) -> int:
        """A number that the kernels take."""
        return 0

    def output_shape(self, input_shape: Shape) -> Shape:
        name = type(self).__name__.lower()
        if len(input_shape) != 2:
            message = (
                f"a layer of type {name} reads sequences, items of shape (steps, features); got items of shape {list(input_shape)}; "
                "send a column of lists of lists, one list of numbers for each step"
            )
            raise InvalidSpec(Fault("", "shape_mismatch", message, "(steps, features)", str(list(input_shape))))
        if min(input_shape) < 1:
            message = f"a layer of type {name} reads at least one step of one feature, got items of shape {list(input_shape)}"
            raise InvalidSpec(Fault("", "shape_mismatch", message, "at least (1, 1)", str(list(input_shape))))
        directions = (2,) if self.bidirectional else ()
        check_given(self, **{name: (*directions, *shape) for name, shape in self._shapes(input_shape[1]).items()})
        width = self.units * (2 if self.bidirectional else 1)
        return (input_shape[0], width) if self.output == "all" else (width,)

    def _shapes(self, features: int) -> dict[str, Shape]:
        """Of the parameters of a direction, in their order."""
        wide = self.gates * self.units
        return {"weight_ih": (wide, features), "weight_hh": (wide, self.units), "bias_ih": (wide,), "bias_hh": (wide,)}

    def _given(self, name: str, reverse: int) -> list[Any] | None:
        """A parameter of a direction, if it was given."""
        given: list[Any] | None = getattr(self, name)
        return given[reverse] if given is not None and self.bidirectional else given

    def lower(self, plan: Plan, x: Value) -> Value:
        steps, features = x.shape
        module, units, bound = plan.module(), self.units, self.units**-0.5
        drawn = dict(zip(self.given_names, (self.initialiser, self.recurrent_initialiser, *[self.bias_initialiser] * 2), strict=True))
        y, every = plan.value(*self.output_shape(x.shape)), int(self.output == "all")
        forward, backward = self.kernels()
        group = []
        for reverse in range(2 if self.bidirectional else 1):
            suffix = "_l0_reverse" if reverse else "_l0"
            # They lie one after the other: kernels are told where the first is.
            first, *_ = (
                plan.parameter(f"{module}.{name}{suffix}", shape, bound, self._given(name, reverse), drawn[name])
                for name, shape in self._shapes(features).items()
            )
            space = plan.workspace(steps * features + self.kept(steps))
            sizes = (space, steps, features, units, reverse, every, y.shape[-1], self.variant())
            plan.forward.append((forward, x.at, first.at, y.at, *sizes))
            group.append((backward, x.gradient, first.at, first.gradient, y.gradient, *sizes))
        if plan.gradients:
            plan.backward.append(group)  # the backward direction adds to the gradient that the forward one wrote
        return y._replace(mask=x.mask if every else NOWHERE)


@jit
def time_first(x: Array, inputs: Array, reverse: int) -> None:
    """inputs (steps, rows, features) = x (rows, steps, features), turned around for a backward direction."""
    rows, steps, features = x.shape
    for t in range(steps):
        source = steps - 1 - t if reverse else t
        for row in range(rows):
            for j in range(features):
                inputs[t, row, j] = x[row, source, j]


@jit
def batch_first(inputs: Array, dx: Array, reverse: int) -> None:
    """The way back, for gradients: dx = inputs, or dx += inputs from a backward direction, which comes second."""
    rows, steps, features = dx.shape
    for t in range(steps):
        source = steps - 1 - t if reverse else t
        for row in range(rows):
            if reverse:
                for j in range(features):
                    dx[row, source, j] += inputs[t, row, j]
            else:
                for j in range(features):
                    dx[row, source, j] = inputs[t, row, j]


@jit
def give_states(hidden: Array, y: Array, reverse: int) -> None:
    """Write the states after each step, or the last one, into the part of y that belongs to the direction.

    hidden: (steps + 1, rows, units), the first block is the state before the first step. y: (rows, steps or 1, width).
    """
    (blocks, rows, units), outputs = hidden.shape, y.shape[1]
    offset = units if reverse else 0
    for at in range(outputs):
        t = blocks - 1 if outputs == 1 else (blocks - 1 - at if reverse else at + 1)
        for row in range(rows):
            for j in range(units):
                y[row, at, offset + j] = hidden[t, row, j]


@jit
def add_state_gradient(dy: Array, dhidden: Array, t: int, steps: int, reverse: int) -> None:
    """dhidden (rows, units) += what dy (rows, steps or 1, width) says of the state after step t."""
    (rows, units), outputs = dhidden.shape, dy.shape[1]
    offset = units if reverse else 0
    if outputs == steps or t == steps - 1:
        at = 0 if outputs == 1 else (steps - 1 - t if reverse else t)
        for row in range(rows):
            for j in range(units):
                dhidden[row, j] += dy[row, at, offset + j]


@jit
def sum_over_rows(deltas: Array, total: Array) -> None:
    """total (width,) = the sum of deltas (rows, width) over the rows."""
    for j in range(total.size):
        total[j] = total.dtype.type(0)
    for row in range(deltas.shape[0]):
        for j in range(total.size):
            total[j] += deltas[row, j]


@jit
def sigmoids(z: Array) -> None:
    """z (any number of them,) overwritten with 1 / (1 + e^-z)."""
    one = z.dtype.type(1)
    for j in range(z.size):
        z[j] = one / (one + exponential(-z[j]))


@jit
def tangents(z: Array, y: Array) -> None:
    """y = tanh(z); y may be z."""
    for j in range(z.size):
        y[j] = tangent(z[j])
