"""/v1/jobs/{id}/card and /v1/models/{model}/card: what a trained network is, where it comes from, and what it is worth."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.table import ColumnInfo
from service.api import card_text
from service.api.answers import answer, chosen, encode, etag
from service.api.assessment import Assessment
from service.api.authentication import needs, tenant_id
from service.api.card_parts import card_of_job, card_of_version
from service.api.context import context
from service.api.data_report import FindingDocument
from service.api.job_document import Tables, Tested
from service.api.model_versions import NO_VERSION, Imported, WhichVersion
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath, ModelPath, Parameters
from service.api.preflight import BaselineDocument
from service.api.signature import Signature
from service.api.snapshots import NO_SNAPSHOT, SNAPSHOT

resource = blueprint("cards", "Model cards: what a trained network is and is worth.", "/v1")

KINDS = {"json": "application/json", "markdown": "text/markdown"}
TAG = {"ETag": "The sha256 of this answer."}


class CardNetwork(BaseModel):
    """What the network is."""

    model_config = ConfigDict(extra="forbid")

    job: str | None
    model: str | None
    version: int | None
    aliases: list[str]
    step: int | None
    epoch: int | None
    digest: str = Field(description="sha256 of the safetensors file.")
    bytes: int
    definition: dict[str, Any] = Field(description="The network as a spec has it, without parameters.")
    input_shape: list[int]
    signature: Signature
    preprocessing: list[dict[str, Any]] = Field(
        description="The steps that inputs go through, with their columns; their numbers are in the file."
    )
    target_preprocessing: str | None = Field(description="How the target was scaled for training; answers are told undone.")
    imported: Imported | None


class CardUse(BaseModel):
    """What the network is for, in the words of its owners: nothing here is made up."""

    model_config = ConfigDict(extra="forbid")

    model_description: str | None = Field(description="Intended use and licence belong here: the description of the model.")
    version_description: str | None
    tags: dict[str, Any]


class CardTraining(BaseModel):
    """How it was trained."""

    model_config = ConfigDict(extra="forbid")

    state: str
    ended_because: str | None = Field(description="Null while it goes on.")
    optimizer: dict[str, Any]
    loss: dict[str, Any]
    batch_size: int
    accumulate: int
    epochs: int = Field(description="Completed.")
    epochs_asked: int
    steps: int
    seconds: float
    seed: int
    augment: list[dict[str, Any]]
    early_stopping: dict[str, Any] | None
    max_seconds: float | None
    found: list[dict[str, Any]] = Field(description="What was left to the service, and how it was found.")
    started_at: str | None
    finished_at: str | None


class CardSplit(BaseModel):
    """How the rows were divided."""

    model_config = ConfigDict(extra="forbid")

    training_rows: int
    validation_rows: int
    test_rows: int
    group: str | None = Field(description="All rows of one fall on one side.")
    split_column: str | None
    fold: dict[str, Any] | None


class CardData(BaseModel):
    """What it was trained on."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    name: str | None
    digest: str
    rows: int
    columns: list[ColumnInfo] = Field(description="Of inputs, target, weights and groups: type, range, categories, missing numbers.")
    split: CardSplit


class CardScore(BaseModel):
    """What it is worth."""

    model_config = ConfigDict(extra="forbid")

    loss: float | None = Field(description="Of training.")
    validation_loss: float | None
    metrics: dict[str, float | None] = Field(description="Of the validation rows where there are any, else of the training rows.")
    tables: Tables
    test: Tested | None
    baseline: BaselineDocument | None = Field(description="Of the trivial answer, which a network has to beat.")
    assessment: Assessment | None = Field(description="By class and by group; which inputs decide.")


class CardAncestor(BaseModel):
    """What a network goes back to."""

    model_config = ConfigDict(extra="forbid")

    job: str | None
    model: str | None
    version: int | None
    step: int | None
    continues: str
    preprocessing: str | None
    dataset_digest: str | None


class Card(BaseModel):
    """A model card, after Mitchell et al., Model Cards for Model Reporting (2019). What is not known is null, and `unknown` says why."""

    model_config = ConfigDict(extra="forbid", title="ModelCard")

    title: str
    network: CardNetwork
    use: CardUse
    training: CardTraining | None
    data: CardData | None
    score: CardScore | None
    limits: list[FindingDocument] | None = Field(
        description="What was found wrong with its data, the worst first; null where nobody looked."
    )
    environment: dict[str, Any] | None = Field(description="Of the worker that last had the job: versions, BLAS, processor.")
    lineage: list[CardAncestor] = Field(description="What it goes on from, the nearest first.")
    unknown: list[str]


class CardFormat(Parameters):
    format: Literal["json", "markdown"] | None = Field(None, description="Goes before `Accept`.")


class CardOfJob(CardFormat):
    snapshot: str = SNAPSHOT


class CardOfVersion(WhichVersion, CardFormat):
    pass


CARD = json_answer(Card, "The card.", headers=TAG)
CARD["content"] |= {"text/markdown": {"schema": {"type": "string"}, "example": "# Model card: digits, version 3\n"}}
NOT_ACCEPTABLE = {"_406": "No format that is accepted."}


@resource.get(
    "/jobs/<job_id>/card", responses={200: CARD, **refusals(_404="There is no such job or snapshot.", **NO_SNAPSHOT, **NOT_ACCEPTABLE)}
)
@needs("read")
def get_job_card(path: JobPath, query: CardOfJob) -> Response:
    """Describe what a job has learned as a model card, as JSON or Markdown.

    What the network is, what it was trained on and how, what it is worth (by class, by group, against the trivial answer), what was found
    wrong with its data, the environment that trained it, and what it goes back to. Nothing is made up: what is not known says so.
    """
    here = context()
    return _told(card_of_job(here, tenant_id(), path.job_id, query.snapshot), chosen(query.format, KINDS))


@resource.get("/models/<model>/card", responses={200: CARD, **refusals(_404=NO_VERSION, **NOT_ACCEPTABLE)})
@needs("read")
def get_model_card(path: ModelPath, query: CardOfVersion) -> Response:
    """Describe the version that an alias stands for, a numbered one, or the newest as a model card, as JSON or Markdown.

    The description of the model is told as its intended use; say the licence there, too.
    """
    here = context()
    return _told(card_of_version(here, tenant_id(), query.found(here, path.model)), chosen(query.format, KINDS))


def _told(card: dict[str, Any], kind: str) -> Response:
    body = encode(card) if kind == "json" else card_text.markdown(card).encode()
    response = answer(body, ETag=etag(body), Vary="Accept")
    response.content_type = KINDS[kind] if kind == "json" else f"{KINDS[kind]}; charset=utf-8"
    return response
