"""ResolvedSpec: a training spec with every default written in and every size computed. It is what a worker trains from."""

from __future__ import annotations

from pydantic import Field

from nncore.definition import Definition
from nncore.losses import LossSpec
from nncore.metrics import AskedMetric
from nncore.preprocess.step import ColumnName
from nncore.spec.training import FinalTest, TrainingSpec, ValidationSpec


class Sizes(Definition):
    """What a job comes to.

    steps_per_epoch counts the partial last batch. memory_bytes: parameters, gradients, optimizer state, activations of a batch,
    scratch, and the job's own copy of its data.
    """

    rows: int
    training_rows: int
    validation_rows: int
    steps_per_epoch: int
    steps: int
    parameters: int
    memory_bytes: int
    test_rows: int = 0


class ResolvedValidation(ValidationSpec):
    """Validation with its default written in."""

    stratified: bool


class ResolvedFinalTest(FinalTest):
    """A test with its default written in."""

    stratified: bool


class Found(Definition):
    """A number that the spec left to us ("auto")."""

    pointer: str = Field(description="JSON pointer into the spec.")
    value: int | float | None = Field(description="Null while it is still to be found, by the worker that first takes the job.")
    how: str


class CountedSpec(TrainingSpec):
    """A training spec whose batch size and epochs are numbers."""

    batch_size: int
    epochs: int


class ResolvedSpec(CountedSpec):
    """Everything a training job is, with nothing left open: the same resolved spec and the same data give the same weights."""

    inputs: list[ColumnName]
    loss: LossSpec
    seed: int
    validation: ResolvedValidation | None = None
    test: ResolvedFinalTest | None = None
    metrics: list[AskedMetric]
    item_shapes: list[list[int] | None] = Field(description="Of one item of each input, as the data holds it; null where it is text.")
    input_shape: list[int] = Field(description="Of one item, preprocessed, as the first layer takes it.")
    output_shape: list[int] = Field(description="Of one item, as the last layer gives it.")
    classes: list[str] | None = Field(description='Names of the labels 0, 1, ...: the categories of the target, or "0", "1", ...')
    sizes: Sizes
    found: list[Found] = Field(default_factory=list, description='How each "auto" was found.')
