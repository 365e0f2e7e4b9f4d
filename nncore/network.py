"""A network definition is data: a list of layers, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from nncore.definition import Definition
from nncore.errors import Fault, InvalidSpec
from nncore.faults import short
from nncore.layers import LayerSpec
from nncore.layers.layer import Layer, Shape, every_layer, shapes_through
from nncore.layers.nesting import MOST_LAYERS, bounded
from nncore.machine.plan import NOWHERE, Layout, Plan, Value


class ParameterInfo(NamedTuple):
    """A parameter of the network, or running statistics: the name it has in the equal torch.nn.Sequential, and its shape."""

    name: str
    shape: Shape


class NetworkSpec(Definition):
    """Layers, first to last. Parameters are laid out and named as in the torch.nn.Sequential of the same layers."""

    layers: Annotated[
        list[LayerSpec],
        Field(min_length=1, max_length=MOST_LAYERS, description="Each takes what the one before it gives."),
        BeforeValidator(bounded),
    ]

    def shapes(self, input_shape: Sequence[int]) -> list[Shape]:
        """The shape of one item before the first layer and after each one. Raises InvalidSpec naming the layer that does not fit."""
        for at, layer in self.every_layer():
            if layer.first_only and at != "/layers/0":
                message = (
                    f"{short(layer.model_dump(include={'type'})['type'])} reads the inputs of a network, so it can only be its first layer"
                )
                raise InvalidSpec(Fault(at, "not_first", message, "/layers/0", at))
        return shapes_through(self.layers, tuple(input_shape), most=inf)  # its user knows limits

    def refuses(self, inputs: np.ndarray, first: int = 0) -> Fault | None:
        """What of the inputs (rows, *input_shape) the first layer cannot take, or None: the pointer names the row, from `first` on."""
        return self.layers[0].refuses(inputs, first)

    def every_layer(self) -> Iterator[tuple[str, Layer]]:
        """Each layer with its JSON pointer, those within others too."""
        return every_layer(self.layers)

    def output_shape(self, input_shape: Sequence[int]) -> Shape:
        """The shape of one item that comes out. Raises InvalidSpec naming the layer that does not fit."""
        return self.shapes(input_shape)[-1]

    def parameters(self, input_shape: Sequence[int]) -> list[ParameterInfo]:
        """All parameters, and behind them running statistics, in the order in which they lie in the one vector of a snapshot."""
        self.shapes(input_shape)
        plan = Plan(Layout(), 1, training=False)
        self.lower(plan, Value(NOWHERE, NOWHERE, tuple(input_shape)))
        parameters, statistics = plan.layout.parameters.values(), plan.layout.statistics.values()
        infos = [ParameterInfo(each.name, each.shape) for each in parameters]
        return infos + [ParameterInfo(each.name, each.shape) for each in statistics]

    def lower(self, plan: Plan, x: Value) -> Value:
        """Append every layer to the plan; answers where the output of the last lies."""
        for number, layer in enumerate(self.layers):
            x = plan.lower(f"/layers/{number}", layer, x)
            plan.layer_outputs.append(x)
        return x

    def without_parameters(self) -> NetworkSpec:
        """The same network without the parameters that were given in the spec."""
        return self.model_copy(update={"layers": [layer.without_parameters() for layer in self.layers]})
