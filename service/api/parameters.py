"""Bases of the models that describe paths and queries, and the ones that several views share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache, partial
from typing import Annotated, Any, Self

from flask import request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from nncore.errors import Fault
from nncore.spec import faults_of
from service.api.problems import invalid_parameters
from service.store.errors import NotFound
from service.store.ids import ALPHABET


class Parameters(BaseModel):
    """Path or query parameters. Unknown ones are refused, and doubled ones where there can be one; all faults at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        faults = [
            Fault(f"/{name}", "doubled_parameter", f"{name}: expected one value, got {times}", "one value", str(times))
            for name, value in obj.items()
            if not isinstance(value, list) and (times := len(request.args.getlist(name))) > 1
        ]
        try:
            made = super().model_validate(obj, **options)
        except ValidationError as error:
            raise invalid_parameters([*faults_of(error, model=cls), *faults]) from None
        if faults:
            raise invalid_parameters(faults)
        return made

    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        """The schema, made once: flask-openapi asks for it at every request."""
        return _schema(cls, arguments, tuple(sorted(options.items())))


@cache
def _schema(model: type[Parameters], arguments: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    return super(Parameters, model).model_json_schema(*arguments, **dict(options))


SHOWN_CHARACTERS = 60
PREFIXES = {"job": "job", "dataset": "ds", "upload": "up", "key": "key", "audit": "audit", "webhook": "wh", "delivery": "msg"}
PREFIXES |= {"cross-validation": "cv"}
TENANT = r"^[a-z0-9][a-z0-9_-]{0,62}$"
MODEL = r"^[a-z0-9][a-z0-9._-]{0,62}$"
ALIAS = r"^[a-z][a-z0-9._-]{0,62}$"  # begins with a letter: no version's number
VERSION = r"^[1-9][0-9]{0,14}$"


def pattern(kind: str) -> str:
    """What the ids of a kind of things match."""
    return f"^{PREFIXES[kind]}_[{ALPHABET}]{{26}}$"


def known_id(kind: str, text: str) -> str:
    """The id `text`. Raises NotFound for one that cannot be an id: it names nothing, and the database is not asked."""
    if not re.fullmatch(pattern(kind), text):
        raise NotFound(kind, text[:SHOWN_CHARACTERS])
    return text


class JobPath(Parameters):
    job_id: Annotated[str, AfterValidator(partial(known_id, "job"))] = Field(
        description="The job's id.", json_schema_extra={"pattern": pattern("job")}
    )


class CrossValidationPath(Parameters):
    cross_validation_id: Annotated[str, AfterValidator(partial(known_id, "cross-validation"))] = Field(
        description="The cross-validation's id.", json_schema_extra={"pattern": pattern("cross-validation")}
    )


class DatasetPath(Parameters):
    dataset_id: Annotated[str, AfterValidator(partial(known_id, "dataset"))] = Field(
        description="The dataset's id.", json_schema_extra={"pattern": pattern("dataset")}
    )


class UploadPath(Parameters):
    upload_id: Annotated[str, AfterValidator(partial(known_id, "upload"))] = Field(
        description="The upload's id.", json_schema_extra={"pattern": pattern("upload")}
    )


class KeyPath(Parameters):
    key_id: Annotated[str, AfterValidator(partial(known_id, "key"))] = Field(
        description="The key's id.", json_schema_extra={"pattern": pattern("key")}
    )


class WebhookPath(Parameters):
    webhook_id: Annotated[str, AfterValidator(partial(known_id, "webhook"))] = Field(
        description="The webhook's id.", json_schema_extra={"pattern": pattern("webhook")}
    )


class DeliveryPath(WebhookPath):
    delivery_id: Annotated[str, AfterValidator(partial(known_id, "delivery"))] = Field(
        description="The delivery's id.", json_schema_extra={"pattern": pattern("delivery")}
    )


def known_tenant(text: str) -> str:
    """The tenant's id `text`. Raises NotFound for one that cannot be an id."""
    if not re.fullmatch(TENANT, text):
        raise NotFound("tenant", text[:SHOWN_CHARACTERS])
    return text


class TenantPath(Parameters):
    tenant_id: Annotated[str, AfterValidator(known_tenant)] = Field(description="The tenant's id.", json_schema_extra={"pattern": TENANT})


def _a_time(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        if re.match(r"\d{4}-\d\d-\d\d[Tt ]", str(given)):  # a bare number would be taken for seconds since 1970
            return validate(given)
    except ValidationError:
        pass
    raise PydanticCustomError("wrong_time", "expected a time with its offset, as in 2026-01-31T12:00:00Z")


Time = Annotated[AwareDatetime, Strict(False), WrapValidator(_a_time)]


LAST_YEAR = 9000  # of a time to come: far from where a calendar ends, in every zone


def _to_come(time: datetime) -> datetime:
    if time.year > LAST_YEAR:
        raise PydanticCustomError(
            "too_far", "expected a time before the year {most}, got {got}", {"most": LAST_YEAR + 1, "got": time.isoformat()}
        )
    if time <= datetime.now(UTC):
        raise PydanticCustomError("in_the_past", "expected a time to come, got {got}", {"got": time.isoformat()})
    return time


TimeToCome = Annotated[Time, AfterValidator(_to_come)]


def named(kind: str, pattern: str, text: str) -> str:
    """The name `text` of a thing of this kind. Raises NotFound for one that cannot be a name."""
    if not re.fullmatch(pattern, text):
        raise NotFound(kind, text[:SHOWN_CHARACTERS])
    return text


class ModelPath(Parameters):
    model: Annotated[str, AfterValidator(partial(named, "model", MODEL))] = Field(
        description="The model's name.", json_schema_extra={"pattern": MODEL}
    )


class VersionPath(ModelPath):
    version: Annotated[str, AfterValidator(partial(named, "model version", VERSION))] = Field(
        description="The version's number.", json_schema_extra={"pattern": VERSION}
    )


class AliasPath(ModelPath):
    alias: Annotated[str, AfterValidator(partial(named, "alias", ALIAS))] = Field(
        description="The alias: a letter, then letters, digits, dots, - and _.", json_schema_extra={"pattern": ALIAS}
    )


def cursor(kind: str) -> Any:
    """The field of a query that says behind which thing of a kind the page begins."""
    return Field(None, pattern=pattern(kind), description="`next_cursor` of the page before.")


class Page(Parameters):
    """Which part of a list, newest first; a list adds its `cursor`."""

    limit: int = Field(50, ge=1, le=500, description="Most elements of the page.")
