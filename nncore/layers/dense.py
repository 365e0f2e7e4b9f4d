"""y = activation(x W^T + b): every output is a weighted sum of every input.

W has the shape (units, inputs) and b the shape (units,), as in torch.nn.Linear. Initial parameters are torch.nn.Linear's default,
uniform in +-1/sqrt(inputs) for both, unless initialisers draw them, or they are given: then training starts from those, and a network
whose parameters are all given can be evaluated without training.

A `threshold` t is another way to write a bias: the neuron's weighted sum is compared with t, which is a bias of -t.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from nncore.activations import ACTIVATION_CODES, LINEAR, ActivationName, activate, activate_backward
from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.faults import counted
from nncore.initialisers import BiasInitialiser, Initialiser, WeightInitialiser
from nncore.layers.activation import SLOPE_OF_STEP, applied_in_place, lower_activation
from nncore.layers.layer import Layer, Shape
from nncore.machine.kernels import ROWS, ROWS_AT_ONCE, Array, Op, clear, kernel, view
from nncore.machine.plan import NOWHERE, Parameter, Plan, Value
from nncore.machine.products import product_with_transposed, transposed_product

# fail_fast: a report of a million bad numbers would take more memory than the machine has.
PerInput = Annotated[list[float], Field(fail_fast=True)]
Weight = Annotated[list[PerInput], Field(min_length=1, fail_fast=True)]
PerUnit = Annotated[list[float], Field(min_length=1, fail_fast=True)]


class Dense(Layer):
    """Every output is a weighted sum of every input, y = activation(x W^T + b): (inputs,) becomes (units,), as in torch.nn.Linear."""

    model_config = shown(type="dense", units=32, activation="relu")

    type: Literal["dense"] = "dense"
    given_names: ClassVar[tuple[str, ...]] = ("weight", "bias", "threshold")
    must_be_given: ClassVar[tuple[str, ...]] = ("weight",)
    tells_contributions: ClassVar[bool] = True
    units: Annotated[int, Field(ge=1, description="How many outputs there are.")]
    activation: Annotated[ActivationName, Field(description="What is applied to them; softmax and log_softmax take them together.")] = (
        "linear"
    )
    use_bias: Annotated[bool, Field(description="Whether there is a b.")] = True
    weight: Annotated[Weight | None, Field(description="W, of shape (units, inputs), row by row. Default: drawn.")] = None
    bias: Annotated[PerUnit | None, Field(description="b, of shape (units,). Default: drawn.")] = None
    threshold: Annotated[PerUnit | None, Field(description="-b: what the weighted sum of a unit is compared with.")] = None
    initialiser: Annotated[WeightInitialiser | None, Field(description="How the weight is drawn.")] = None
    bias_initialiser: Annotated[BiasInitialiser | None, Field(description="How the bias is drawn.")] = None

    @field_validator("weight")
    @classmethod
    def _one_row_per_unit(cls, weight: Weight | None, info: ValidationInfo) -> Weight | None:
        if weight is None:
            return None
        lengths = sorted({len(row) for row in weight})
        if len(lengths) > 1 or lengths == [0]:
            found = " and ".join(str(length) for length in lengths)
            raise PydanticCustomError(
                "ragged_weight", "every row of a weight has one number per input; found rows of {found} numbers", {"found": found}
            )
        units = info.data.get("units")
        if units is not None and len(weight) != units:
            raise PydanticCustomError(
                "wrong_length",
                "a weight has one row per unit; expected {units} rows, got {got}",
                {"units": units, "got": len(weight)},
            )
        return weight

    @field_validator("bias", "threshold")
    @classmethod
    def _one_number_per_unit(cls, numbers: PerUnit | None, info: ValidationInfo) -> PerUnit | None:
        if numbers is None:
            return None
        units = info.data.get("units")
        if units is not None and len(numbers) != units:
            raise PydanticCustomError(
                "wrong_length",
                "a {field} has one number per unit; expected {units}, got {got}",
                {"field": info.field_name, "units": units, "got": len(numbers)},
            )
        if info.data.get("use_bias") is False:
            raise PydanticCustomError(
                "bias_not_used", "a {field} is given though use_bias is false; leave out one of them", {"field": info.field_name}
            )
        if info.field_name == "threshold" and info.data.get("bias") is not None:
            raise PydanticCustomError(
                "bias_and_threshold", "a layer takes a bias or a threshold, not both (a threshold of t is a bias of -t)", {}
            )
        return numbers

    @field_validator("initialiser", "bias_initialiser")
    @classmethod
    def _drawn_or_given(cls, initialiser: Initialiser | None, info: ValidationInfo) -> Initialiser | None:
        names = ("weight",) if info.field_name == "initialiser" else ("bias", "threshold")
        if initialiser is not None and any(info.data.get(name) is not None for name in names):
            message = "the {given} is given, so nothing is drawn for it; leave out one of them"
            raise PydanticCustomError("given_and_drawn", message, {"given": names[0]})
        if initialiser is not None and names[0] == "bias" and info.data.get("use_bias") is False:
            raise PydanticCustomError("bias_not_used", "a bias_initialiser stands here though use_bias is false; leave out one of them", {})
        return initialiser

    def given_bias(self) -> list[float] | None:
        """The bias that was given, in either form."""
        if self.threshold is not None:
            return [-number for number in self.threshold]
        return self.bias

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise InvalidSpec(
                Fault(
                    "",
                    "shape_mismatch",
                    f"a dense layer takes items of one dimension, got items of shape {list(input_shape)}; "
                    'put {"type": "flatten"} before it',
                    expected="(inputs,)",
                    got=str(list(input_shape)),
                )
            )
        if input_shape[0] < 1:
            message = "a dense layer takes at least one input, got none; send items that are not empty"
            raise InvalidSpec(Fault("", "shape_mismatch", message, expected="at least 1 input", got="0"))
        if self.weight is not None and len(self.weight[0]) != input_shape[0]:
            raise InvalidSpec(
                Fault(
                    "/weight",
                    "shape_mismatch",
                    f"the weight has {counted(len(self.weight[0]), 'number')} per row, but {counted(input_shape[0], 'input')} "
                    f"come{'s' if input_shape[0] == 1 else ''} in; give one number per input",
                    expected=f"({self.units}, {input_shape[0]})",
                    got=f"({len(self.weight)}, {len(self.weight[0])})",
                )
            )
        return (self.units,)

    def relu_axis(self) -> int | None:
        return 0 if self.activation == "relu" else None

    def untrainable(self) -> str | None:
        return SLOPE_OF_STEP if self.activation == "step" else None

    def contributions(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(np.array(self.weight)[None] * inputs[:, None])

    def tell(self, plan: Plan, x: Value) -> dict[str, Value]:
        """The weighted sums, the pre-activations (with the bias), the activations: the same kernel, each time with a little more."""
        weight, bias = self._parameters(plan, x)
        bias_at, code = NOWHERE if bias is None else bias.at, ACTIVATION_CODES[self.activation]
        told = {name: plan.value(self.units) for name in ("weighted_sums", "pre_activations", "activations")}
        in_place = applied_in_place(self.activation)
        for y, given_bias, applied in zip(told.values(), (NOWHERE, bias_at, bias_at), (LINEAR, LINEAR, code), strict=True):
            if applied == LINEAR or in_place:
                plan.forward.append((dense_forward, x.at, weight.at, given_bias, y.at, x.shape[0], self.units, applied))
        return told if in_place else told | {"activations": lower_activation(plan, told["pre_activations"], self.activation)}

    def lower(self, plan: Plan, x: Value) -> Value:
        (weight, bias), inputs, units = self._parameters(plan, x), x.shape[0], self.units
        bias_at, bias_gradient = (NOWHERE, NOWHERE) if bias is None else (bias.at, bias.gradient)
        in_place = applied_in_place(self.activation)
        y, code = plan.value(units), ACTIVATION_CODES[self.activation if in_place else "linear"]
        plan.forward.append((dense_forward, x.at, weight.at, bias_at, y.at, inputs, units, code))
        if plan.gradients:
            places = (x.at, x.gradient, weight.at, weight.gradient, bias_gradient, y.at, y.gradient)
            plan.backward.append([(dense_backward, *places, inputs, units, code)])
        return y if in_place else lower_activation(plan, y, self.activation)

    def _parameters(self, plan: Plan, x: Value) -> tuple[Parameter, Parameter | None]:
        """Weight and bias; the activation behind them is a module of its own in torch.nn.Sequential."""
        (units,), inputs = self.output_shape(x.shape), x.shape[0]
        module, bound, bias = plan.module(), inputs**-0.5, None
        weight = plan.parameter(f"{module}.weight", (units, inputs), bound, self.weight, self.initialiser)
        if self.use_bias:
            bias = plan.parameter(f"{module}.bias", (units,), bound, self.given_bias(), self.bias_initialiser)
        if self.activation != "linear":
            plan.module()
        return weight, bias


@kernel
def dense_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = activation(x W^T + b)"""
    x_at, weight_at, bias_at, y_at, inputs, units, code = op[:7]
    rows = integers[ROWS]
    y = view(arena, y_at, rows, units)
    product_with_transposed(view(arena, x_at, rows, inputs), view(arena, weight_at, units, inputs), y)
    if bias_at >= 0:
        bias = view(arena, bias_at, units)
        for row in range(rows):
            for j in range(units):
                y[row, j] += bias[j]
    activate(code, y)


@kernel
def dense_backward(op: Op, arena: Array, integers: Array) -> None:
    """Turns the gradient of y into that of the pre-activations; then dW, (where wanted) dx, and db, for which it is used up."""
    x_at, dx_at, weight_at, dweight_at, dbias_at, y_at, dy_at, inputs, units, code = op[:10]
    rows = integers[ROWS]
    delta = view(arena, dy_at, rows, units)
    activate_backward(code, view(arena, y_at, rows, units), delta)
    transposed_product(delta, view(arena, x_at, rows, inputs), view(arena, dweight_at, units, inputs))
    if dx_at >= 0:
        np.dot(delta, view(arena, weight_at, units, inputs), view(arena, dx_at, rows, inputs))
    if dbias_at >= 0:
        dbias = view(arena, dbias_at, units)
        clear(dbias)
        for first in range(0, rows, ROWS_AT_ONCE):
            total = delta[first]
            for row in range(first + 1, min(first + ROWS_AT_ONCE, rows)):
                for j in range(units):
                    total[j] += delta[row, j]
            for j in range(units):
                dbias[j] += total[j]
