"""TrainingSpec: what a user may write, with its defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nncore.augment import AugmentSpec
from nncore.auto import Auto, OrAuto
from nncore.definition import Definition
from nncore.losses import LossSpec
from nncore.metrics import AskedMetric
from nncore.network import NetworkSpec
from nncore.optimizers import Adam, OptimizerSpec
from nncore.preprocess import PreprocessSpec
from nncore.preprocess.step import ColumnName
from nncore.preprocess.target import TargetPreprocessSpec
from nncore.streams import LARGEST_SEED


class ValidationSpec(Definition):
    """Rows that are held out: never trained on, evaluated at every epoch's end."""

    fraction: Annotated[float, Field(gt=0, lt=1, description="Which part of the rows is held out.")] = 0.2
    stratified: Annotated[
        bool | None, Field(description="Whether every class gives the same part of its rows. Default: true where the target is classes.")
    ] = None


class FinalTest(Definition):
    """Rows that are kept until the end: never trained on, and no choice is made by them. The best parameters are scored on them once."""

    fraction: Annotated[float, Field(gt=0, lt=1, description="Which part of all rows is kept.")] = 0.2
    stratified: Annotated[
        bool | None, Field(description="Whether every class gives the same part of its rows. Default: true where the target is classes.")
    ] = None


class Fold(Definition):
    """One of several folds, into which the rows that no test takes are dealt: it is held out for validation."""

    of: Annotated[int, Field(ge=2, le=100, description="How many folds there are.")]
    number: Annotated[int, Field(ge=0, le=99, description="Which one is held out, from 0.")]


class EarlyStopping(Definition):
    """Training ends when so many epochs in a row were not better than the best: by validation loss, else by training loss.

    The best parameters are kept as always and are what a trained network is, unless the last are asked for: nothing needs restoring.
    As keras.callbacks.EarlyStopping with restore_best_weights: patience 1 forgives no epoch. An epoch that is better by no more than
    min_delta ends no waiting, but may well be the best (Keras would not restore it).
    """

    patience: Annotated[int, Field(ge=1, le=10**9, description="Epochs without a better one after which training ends.")] = 10
    min_delta: Annotated[float, Field(ge=0, le=1e30, description="By how much more an epoch has to be better to count as such.")] = 0.0


class TrainingSpec(Definition):
    """A network, the columns it learns from, and how."""

    network: Annotated[NetworkSpec, Field(description="The layers, first to last.")]
    inputs: Annotated[
        list[ColumnName] | None,
        Field(min_length=1, max_length=20_000, description="Columns that go in, laid side by side. Default: every column but the target."),
    ] = None
    target: Annotated[ColumnName, Field(description="The column to learn.")]
    sample_weight: Annotated[
        ColumnName | None, Field(description="A column with a weight for every row's loss, 0 or more. Default: all rows count the same.")
    ] = None
    loss: Annotated[
        LossSpec | None,
        Field(
            description="What training makes small. Default: softmax_cross_entropy for a target of classes and several outputs, "
            "binary_cross_entropy for a target of two classes and one output, else mean_squared_error."
        ),
    ] = None
    optimizer: Annotated[OptimizerSpec, Field(description="How parameters follow their gradients.")] = Adam()
    batch_size: Annotated[
        int | Auto,
        OrAuto(int, ge=1, le=10**9),
        Field(description="Rows at a time, and per step unless accumulated; no more than there are to train on."),
    ] = 32
    epochs: Annotated[
        int | Auto, OrAuto(int, ge=1, le=10**9), Field(description="How often every training row is visited; auto stops early.")
    ] = 10
    accumulate: Annotated[
        int, Field(ge=1, le=10**9, description="Batches per step: their gradients are averaged, as if they were one batch.")
    ] = 1
    max_seconds: Annotated[
        float | None,
        Field(gt=0, le=1e9, description="Training ends at the first step or epoch end after so many seconds of it. Default: no limit."),
    ] = None
    early_stopping: Annotated[EarlyStopping | None, Field(description="Default: all epochs are run.")] = None
    seed: Annotated[int | None, Field(ge=0, le=LARGEST_SEED, description="Decides all that is drawn. Default: drawn.")] = None
    shuffle: Annotated[bool, Field(description="Whether every epoch visits the rows in another order.")] = True
    dtype: Annotated[Literal["float32", "float64"], Field(description="What numbers are held and computed in.")] = "float32"
    validation: Annotated[ValidationSpec | None, Field(description="Default: every row is trained on.")] = None
    test: Annotated[FinalTest | None, Field(description="Default: no row is kept for the end.")] = None
    fold: Annotated[Fold | None, Field(description="Hold out one of several folds, in place of `validation`.")] = None
    group: Annotated[
        ColumnName | None,
        Field(description="A column that says whom a row belongs to (speaker, patient, customer): all rows of one fall on one side."),
    ] = None
    split_column: Annotated[
        ColumnName | None,
        Field(description="A column of texts that says what a row is for, in place of all these: train, validation or test."),
    ] = None
    preprocess: list[PreprocessSpec] = Field(
        default_factory=list, max_length=8, description="Steps applied to the inputs, in order, fitted on the training rows."
    )
    preprocess_target: Annotated[
        TargetPreprocessSpec | None,
        Field(
            description="How the numbers of the target are scaled for training, fitted on the training rows. Losses are of the scaled "
            "numbers; metrics and predictions are in the target's own unit. Default: they are learnt as they are."
        ),
    ] = None
    augment: list[AugmentSpec] = Field(
        default_factory=list,
        max_length=8,
        description="What is done to the rows of a batch, in order, behind the preprocessing; in training only.",
    )
    report_every_steps: Annotated[
        int | None, Field(ge=1, le=10**12, description="A report after every so many steps, beside that of every epoch. Default: none.")
    ] = None
    diagnostics: Annotated[
        bool, Field(description="Whether reports tell norms of gradients and weights, how much a step moved them, and dead units.")
    ] = False
    metrics: Annotated[list[AskedMetric] | None, Field(max_length=16, description='Default: ["accuracy"] where the target is classes.')] = (
        None
    )
