"""Numbers that a spec may leave to us: "auto" in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Auto = Literal["auto"]
AUTO: Final = "auto"


class OrAuto:
    """Annotates a number within bounds, or "auto". What is neither is one fault, that of the number."""

    def __init__(self, number: type[int] | type[float], **bounds: float) -> None:
        """bounds: ge, gt, le, lt; found again as attributes, where a fault tells them."""
        self._number = number
        self._bounds = bounds
        vars(self).update(bounds)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounds: dict[str, Any] = dict(self._bounds)
        number: Any = Annotated[self._number, Field(**bounds)]
        as_it_is = core_schema.plain_serializer_function_ser_schema(_as_it_is)
        return core_schema.no_info_wrap_validator_function(_auto_or, handler.generate_schema(number), serialization=as_it_is)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"enum": [AUTO], "type": "string"}]}


def _auto_or(given: Any, validate: Callable[[Any], Any]) -> Any:
    return AUTO if isinstance(given, str) and given == AUTO else validate(given)


def _as_it_is(value: Any) -> Any:
    return value
