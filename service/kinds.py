"""What jobs of other kinds than `train` are asked for: their specs, as they are kept beside the job and shown.

Such a job works with a network that is there. Its file was copied when the job was accepted, as the job's checkpoint at step 0: what
becomes of the job it came from meanwhile changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from nncore.explanation import ExplainSpec
from nncore.losses import LossSpec
from nncore.spec import ResolvedSpec
from nncore.split import Division, divide
from nncore.table import Table


class Kind(StrEnum):
    """What a job does."""

    TRAIN = "train"  # trains a network
    PREDICT = "predict"  # answers for every row of a dataset
    EXPLAIN = "explain"  # answers a question about a network


class NetworkSource(BaseModel):
    """The network that a job works with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str | None = Field(None, description="The job that trained it.")
    step: int | None = Field(None, description="The step at which its parameters are.")
    model: str | None = Field(None, description="The model it was asked for by.")
    version: int | None = Field(None, description="The version of that model.")
    digest: str = Field(description="sha256 of its safetensors file.")


class PredictionSpec(BaseModel):
    """A batch prediction: a network, and how it reads and answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSource
    inputs: list[str] = Field(description="The columns that it reads.")
    target: str = Field(description="The column that it answers.")
    classes: list[str] | None = Field(description="Names of the labels 0, 1, ...; null where the answers are numbers.")
    dtype: Literal["float32", "float64"]
    rows: int
    outputs: int = Field(description="Numbers that the last layer gives for a row.")


class ExplanationSpec(BaseModel):
    """A question to a network, and of which rows it is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSource
    explain: ExplainSpec
    loss: LossSpec = Field(description="That it was trained with.")
    target: str
    trained: ResolvedSpec | None = Field(
        description="The training, where rows of its own dataset are asked about: those that it held out, if any. Null: all rows."
    )

    def judged_rows(self, table: Table) -> np.ndarray[Any, Any]:
        """The rows of the dataset that are asked about, ascending."""
        every = np.arange(table.rows)
        if self.trained is None:
            return every
        held_out = divide(table.rows, Division.of(self.trained), table.__getitem__).held_out_rows
        return held_out if len(held_out) else every

    def said(self) -> dict[str, Any]:
        """What the answer says of itself."""
        asked = self.explain.model_dump(mode="json", exclude={"inputs"})
        return {"explain": asked, "network": self.network.model_dump(mode="json")}
