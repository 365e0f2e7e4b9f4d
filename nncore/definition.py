"""The base of everything a user may write in a spec: frozen, strict, without unknown fields, without NaN or infinity."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

MOST_FIELDS = 200  # of one object; more are refused before each is looked at


def shown(**example: Any) -> ConfigDict:
    """The configuration of a part that shows this one of it in its JSON Schema."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Definition(BaseModel):
    """A part of a spec. Strict: a number in quotes or a true where a whole number belongs is a fault, not a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, given: Any) -> Any:
        if isinstance(given, dict) and len(given) > MOST_FIELDS:
            raise PydanticCustomError(
                "too_many_fields", "an object has at most {most} fields; got {got}", {"most": MOST_FIELDS, "got": len(given)}
            )
        return given
