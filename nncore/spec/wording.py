"""faults_of: what pydantic found wrong, as faults in plain words that point at what the user wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from nncore.errors import Fault
from nncore.faults import MAX_FAULTS, did_you_mean, one_of, pointer, short
from nncore.spec.place import Place, is_model, literals, model_named, place_at, tagged_members

_WHOLE = "a whole number"
_WANTED = {
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": f"{_WHOLE} of at most a few thousand digits",
    "int_from_float": _WHOLE,
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "multiple_of": ("multiple_of", "a multiple of {}"),
    "too_short": ("min_length", "at least {} items"),
    "too_long": ("max_length", "at most {} items"),
    "string_too_short": ("min_length", "at least {} characters"),
    "string_too_long": ("max_length", "at most {} characters"),
    "string_pattern_mismatch": ("pattern", "text that matches {}"),
}
_LENGTHS = ("too_short", "too_long", "string_too_short", "string_too_long")
_UNIONS = {
    "layers": "layer ",
    "loss": "loss ",
    "optimizer": "optimizer ",
    "schedule": "schedule ",
    "preprocess": "preprocessing step ",
    "augment": "augmentation ",
    "initialiser": "initialiser ",
    "bias_initialiser": "initialiser ",
    "recurrent_initialiser": "initialiser ",
}


def faults_of(error: ValidationError, prefix: str = "", model: Any = None) -> tuple[Fault, ...]:
    """The first MAX_FAULTS of what is wrong, with JSON pointers that begin with `prefix`.

    model: the type that was validated; found by the error's title where it is not given.
    """
    root = model or model_named(error.title)
    faults = (_fault(found, place_at(root, found["loc"])) for found in error.errors(include_url=False)[:MAX_FAULTS])
    return tuple(fault.under(prefix) for fault in faults)


def _fault(found: Mapping[str, Any], place: Place) -> Fault:
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    if kind == "missing":
        name = str(place.parts[-1])
        return Fault(pointer(*place.parts), "missing_field", f"the field {short(name)} is missing", "a value", "nothing")
    if kind == "extra_forbidden":
        return _unknown_field(place)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_type(place, given)
    if kind == "literal_error":
        choices = list(literals(place.type))
        wanted = one_of(choices) if choices else context["expected"].replace("'", '"')
        return _expected(place, "unknown_value", wanted, short(given), did_you_mean(given, choices) if isinstance(given, str) else "")
    if kind == "float_type" and isinstance(given, int) and not isinstance(given, bool):
        return _expected(place, "not_finite", "a number below 1.8e308", short(given))
    if kind == "enum":
        hint = did_you_mean(given, re.findall("'([^']*)'", context["expected"])) if isinstance(given, str) else ""
        return _expected(place, "unknown_value", context["expected"].replace("'", '"'), short(given), hint)
    if wanted := _WANTED.get(kind, ""):
        if wanted == _WHOLE:
            wanted += _within(place.bounds)
        return _expected(place, "not_finite" if kind == "finite_number" else "wrong_type", wanted, short(given))
    if kind in _BOUNDS:
        name, phrase = _BOUNDS[kind]
        wanted = phrase.format(_number(context.get(name)))
        if context.get(name) == 1:
            wanted = wanted.replace("items", "item").replace("characters", "character")
        if kind in _LENGTHS and isinstance(given, Sequence | Mapping):
            return _expected(place, "wrong_length", wanted, f"{len(given):,}")
        return _expected(place, "wrong_format" if kind == "string_pattern_mismatch" else "out_of_range", wanted, short(given))
    if kind == "json_invalid":
        return Fault(pointer(*place.parts), "invalid_json", f"not valid JSON: {context.get('error', '')}", "valid JSON")
    message = re.sub(r"^(Value|Assertion) error, ", "", found["msg"]).replace("Input should be", "expected")
    code = kind if re.fullmatch("[a-z_]+", kind) and kind not in ("value_error", "assertion_error") else "invalid"
    if message.startswith("expected ") and "got " not in message:
        return _expected(place, code, message.removeprefix("expected "), short(given))
    return Fault(pointer(*place.parts), code, message, None, short(given))


def _expected(place: Place, code: str, expected: str, got: str, hint: str = "") -> Fault:
    message = f"{place.name}: expected {expected}, got {got}" + (f".{hint}" if hint else "")
    return Fault(pointer(*place.parts), code, message, expected, got)


def _unknown_field(place: Place) -> Fault:
    name = str(place.parts[-1])
    allowed = []
    if is_model(place.type):  # without those that are there to be refused with a reason
        allowed = [each for each, field in place.type.model_fields.items() if field.annotation is not type(None)]
    message = f"unknown field {short(name)}"
    if allowed:
        message += f".{did_you_mean(name, allowed)} Allowed here: {', '.join(allowed)}"
    return Fault(pointer(*place.parts), "unknown_field", message, ", ".join(allowed) or None, short(name))


def _unknown_type(place: Place, given: Any) -> Fault:
    """An object whose "type" is none that is known here, or that has none, or no object."""
    if not isinstance(given, Mapping):
        return _expected(place, "wrong_type", "an object", short(given))
    tags = list(tagged_members(place.type))
    at = pointer(*place.parts, "type")
    if "type" not in given:
        return Fault(at, "missing_field", f'the field "type" is missing: expected {one_of(tags)}', one_of(tags), "nothing")
    tag = given["type"]
    kind = next((_UNIONS[str(part)] for part in reversed(place.parts) if str(part) in _UNIONS), "")
    hint = did_you_mean(tag, tags) if isinstance(tag, str) else ""
    message = f"unknown {kind}type {short(tag)}: expected {one_of(tags)}" + (f".{hint}" if hint else "")
    return Fault(at, "unknown_type", message, one_of(tags), short(tag))


def _within(bounds: Mapping[str, Any]) -> str:
    """' from 1 to 1,000', ' of at least 1', or the empty text."""
    if {"ge", "le"} <= bounds.keys():
        return f" from {_number(bounds['ge'])} to {_number(bounds['le'])}"
    return f" of at least {_number(bounds['ge'])}" if "ge" in bounds else ""


def _number(bound: Any) -> str:
    """A bound as people write it: without the .0 that pydantic gives it, with a comma at every thousand."""
    return f"{bound:g}" if isinstance(bound, float) else f"{bound:,}" if isinstance(bound, int) else str(bound)
