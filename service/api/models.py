"""/v1/models: names under which trained networks are kept."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from flask import Response, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from service.api import idempotency
from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.jobs import MOST_TAGS, TagName, TagValue, few
from service.api.keys import BODY_FAULTS
from service.api.openapi import blueprint, json_answer, json_body, reads_headers, refusals
from service.api.parameters import MODEL, ModelPath, Parameters
from service.api.preconditions import IF_MATCH, REFUSED, must_be_sent, must_match
from service.store import named_models as stored
from service.store.named_models import ModelDetail, NewModel

resource = blueprint("models", "Trained networks under a name, version after version.", "/v1/models")

CREATE = {"digits": ("A name for networks that read digits", {"name": "digits", "description": "Reads handwritten digits."})}
CHANGE = {"tags": ("Other tags, in the place of those there are", {"tags": {"team": "post"}})}
NO_MODEL = "There is no such model."
TAG = {"ETag": "Its revision, in quotes."}
Description = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
Tags = Annotated[dict[TagName, TagValue], BeforeValidator(few), Field(max_length=MOST_TAGS)]


class ModelDocument(BaseModel):
    """A model."""

    model_config = ConfigDict(extra="forbid", title="Model")

    name: str
    description: str | None
    tags: dict[str, Any]
    created_at: str
    revision: int = Field(description="Raised by every change of description or tags.")
    newest_version: int | None = Field(description="The number that was given last; null before the first version.")
    aliases: dict[str, int] = Field(description="The version that each alias stands for.")
    links: dict[str, str]


class ModelList(BaseModel):
    """A page of models, by their names."""

    model_config = ConfigDict(extra="forbid")

    data: list[ModelDocument]
    next_cursor: str | None


class ModelBody(BaseModel):
    """A model to be added."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=MODEL, description="How it is called in addresses; it stays.")
    description: Description | None = None
    tags: Tags = Field(default_factory=dict, description="Words of your own.")

    @field_validator("name")
    @classmethod
    def _no_job(cls, name: str) -> str:
        if name.startswith("job_"):
            raise PydanticCustomError("taken_for_a_job", "name: expected one that does not begin with job_, as ids of jobs do")
        return name


class ModelChange(BaseModel):
    """What is to be changed; all else stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: Description | None = Field(None, description="Null takes it away.")
    tags: Tags = Field(default_factory=dict, description="All of them; those that are left out are gone.")


class ModelDeleted(BaseModel):
    """What was deleted."""

    model_config = ConfigDict(extra="forbid")

    name: str
    freed_bytes: int = Field(description="Without those that are a job's snapshot still.")


class ModelsQuery(Parameters):
    cursor: str | None = Field(None, pattern=MODEL, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="Most elements of the page.")


@resource.post(
    "",
    request_body=json_body(ModelBody, CREATE),
    responses={
        201: json_answer(ModelDocument, "The model.", headers={"Location": "Where it is.", "ETag": "The sha256 of this answer."}),
        **refusals(_409="There is one of this name.", **BODY_FAULTS),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_model(body: ModelBody) -> Response:
    """Add a model: a name, without versions yet."""
    once = idempotency.once(hashlib.sha256(request.get_data()).hexdigest())
    new = NewModel(tenant_id(), body.name, body.description, dict(body.tags))
    made = stored.create(context().store, new, answer=lambda detail: encode(document(detail)), once=once)
    return idempotency.created(made, 201, f"/v1/models/{made.id}")


@resource.get("", responses={200: json_answer(ModelList, "A page of models.")})
@needs("read")
def list_models(query: ModelsQuery) -> Response:
    """List the models by their names."""
    found = stored.page(context().store, tenant_id(), limit=query.limit + 1, after=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].model.name if len(found) > query.limit else None
    return answer(encode({"data": [document(detail) for detail in shown], "next_cursor": cursor}))


@resource.get("/<model>", responses={200: json_answer(ModelDocument, "The model.", headers=TAG), **refusals(_404=NO_MODEL)})
@needs("read")
def get_model(path: ModelPath) -> Response:
    """Describe a model and what its aliases stand for."""
    return _shown(stored.get(context().store, tenant_id(), path.model))


@resource.patch(
    "/<model>",
    request_body=json_body(ModelChange, CHANGE),
    responses={
        200: json_answer(ModelDocument, "The model as it is now.", headers=TAG),
        **refusals(_404=NO_MODEL, **REFUSED, **BODY_FAULTS),
    },
)
@reads_headers(IF_MATCH)
@needs("write")
def change_model(path: ModelPath, body: ModelChange) -> Response:
    """Change the description or the tags of a model. What is left out stays; its versions never change."""
    must_be_sent()
    here, owner = context(), tenant_id()
    values = body.model_dump(include=body.model_fields_set)
    while True:
        detail = stored.get(here.store, owner, path.model)
        must_match(f"The model {path.model}", detail.model.revision)
        if not values or stored.change(here.store, owner, path.model, detail.model.revision, values):
            return _shown(stored.get(here.store, owner, path.model))


@resource.delete(
    "/<model>",
    responses={
        200: json_answer(ModelDeleted, "What was freed."),
        **refusals(_404=NO_MODEL, _409="An alias stands for one of its versions."),
    },
)
@needs("write")
def delete_model(path: ModelPath) -> Response:
    """Delete a model and all its versions for good. Jobs that they came from stay."""
    freed_bytes = stored.remove(context().store, tenant_id(), path.model)
    return answer(encode({"name": path.model, "freed_bytes": freed_bytes}))


def _shown(detail: ModelDetail) -> Response:
    return answer(encode(document(detail)), ETag=f'"{detail.model.revision}"')


def document(detail: ModelDetail) -> dict[str, Any]:
    """The model as the API shows it."""
    model, address = detail.model, f"/v1/models/{detail.model.name}"
    return {
        "name": model.name,
        "description": model.description,
        "tags": model.tags,
        "created_at": iso_time(model.created_at),
        "revision": model.revision,
        "newest_version": model.newest_version or None,
        "aliases": dict(detail.aliases),
        "links": {"self": address, **{part: f"{address}/{part}" for part in ("versions", "weights", "predict", "predictions", "card")}},
    }
