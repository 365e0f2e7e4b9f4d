"""What may be asked of a trained network."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from nncore.definition import Definition
from nncore.metrics import MetricName
from nncore.streams import LARGEST_SEED

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED, description="Decides all that is drawn.")]
Rows = Annotated[int, Field(ge=2, le=100_000, description="Of the dataset no more than so many rows, evenly taken.")]
Inputs = Annotated[Any, Field(description="Columns by name, each a list of as many rows: at most 1,000.")]


class PermutationImportance(Definition):
    """How much worse a metric gets when the values of a column are dealt to other rows."""

    type: Literal["permutation_importance"]
    metric: Annotated[MetricName | None, Field(description="Default: accuracy, or r2 of numbers.")] = None
    repeats: Annotated[int, Field(ge=1, le=100, description="How often each column is dealt.")] = 5
    features: Annotated[bool, Field(description="Whether the numbers of a column's items are dealt one by one.")] = False
    rows: Rows = 10_000
    seed: Seed = 0


class InputGradients(Definition):
    """How an output changes with each input of some rows, preprocessed."""

    type: Literal["input_gradients"]
    inputs: Inputs
    output: Annotated[int | str | None, Field(description="Its number, or the name of its class. Default: the largest of each row.")] = None


class LayerActivations(Definition):
    """What layers make of some rows."""

    type: Literal["layer_activations"]
    inputs: Inputs
    layers: Annotated[list[int] | None, Field(min_length=1, max_length=500, description="Their numbers, from 0. Default: all.")] = None


class MaximalInput(Definition):
    """What units look for: the input that each answers most strongly, by gradient ascent from noise."""

    type: Literal["maximal_input"]
    layer: Annotated[int, Field(ge=0, description="Its number, from 0.")]
    units: Annotated[
        list[int | list[int]],
        Field(min_length=1, max_length=256, description="Places in what the layer gives; of several axes, a number for each."),
    ]
    steps: Annotated[int, Field(ge=1, le=10_000)] = 200
    rate: Annotated[float, Field(gt=0, le=1e6, description="How far a step goes along the slope.")] = 0.1
    decay: Annotated[float, Field(ge=0, le=1e6, description="Of the input towards 0.")] = 0.0
    bounds: Annotated[list[float] | None, Field(min_length=2, max_length=2, description="Least and largest number of an input.")] = None
    seed: Seed = 0


class LossLine(Definition):
    """The loss along a line through the parameters, in a random, filter-normalised direction."""

    type: Literal["loss_line"]
    radius: Annotated[float, Field(gt=0, le=1e3)] = 1.0
    points: Annotated[int, Field(ge=3, le=1001, description="An odd number has the network itself in the middle.")] = 41
    rows: Rows = 10_000
    seed: Seed = 0


class LossPlane(Definition):
    """The loss over a plane through the parameters; its first direction is that of the line with the same seed."""

    type: Literal["loss_plane"]
    radius: Annotated[float, Field(gt=0, le=1e3)] = 1.0
    points: Annotated[int, Field(ge=3, le=101, description="Along each direction.")] = 21
    rows: Rows = 10_000
    seed: Seed = 0


class GradientCheck(Definition):
    """Whether back-propagation agrees with differences of the loss, parameter by parameter, in float64."""

    type: Literal["gradient_check"]
    rows: Annotated[int, Field(ge=2, le=256, description="Of the dataset, evenly taken.")] = 16
    most_of_each: Annotated[int, Field(ge=1, le=1000, description="Numbers of each parameter that are compared.")] = 20
    seed: Seed = 0


ExplainSpec = Annotated[
    PermutationImportance | InputGradients | LayerActivations | MaximalInput | LossLine | LossPlane | GradientCheck,
    Field(discriminator="type"),
]


class Explain(RootModel[ExplainSpec]):
    """A question to a trained network."""


def of_rows(asked: ExplainSpec) -> int | None:
    """How many rows of a dataset the answer needs; None for none."""
    return getattr(asked, "rows", None)
