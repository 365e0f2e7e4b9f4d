"""faults_of: what pydantic found wrong, as faults in plain words that point at what the user wrote.

pydantic's locations name the member of a union that was tried (/layers/0/dense/units); a JSON pointer must not. So locations are
walked along the types of the model, which also tells the fields that would have been allowed.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from nncore.errors import Fault
from nncore.faults import MAX_FAULTS, did_you_mean, one_of, pointer, short

_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of at most a few thousand digits",
    "int_from_float": "a whole number",
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


def faults_of(error: ValidationError, prefix: str = "", model: Any = None) -> tuple[Fault, ...]:
    """The first MAX_FAULTS of what is wrong, with JSON pointers that begin with `prefix`.

    model: the type that was validated; found by the error's title where it is not given.
    """
    root = model or _model_named(error.title)
    faults = (_fault(found, root) for found in error.errors(include_url=False)[:MAX_FAULTS])
    return tuple(fault.under(prefix) for fault in faults)


def _fault(found: Mapping[str, Any], root: Any) -> Fault:
    parts, inside = _walk(root, found["loc"])
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    named = _named(parts)

    if kind == "missing":
        name = str(parts[-1])
        return Fault(pointer(*parts), "missing_field", f"the field {short(name)} is missing", "a value", "nothing")
    if kind == "extra_forbidden":
        return _unknown_field(parts, inside)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_type(parts, inside, given)
    if kind == "literal_error":
        choices = list(_literals(inside))
        wanted = one_of(choices) if choices else context["expected"].replace("'", '"')
        hint = did_you_mean(given, choices) if isinstance(given, str) else ""
        return _wrong(parts, "unknown_value", f"{named}: expected {wanted}, got {short(given)}.{hint}".removesuffix("."), wanted, given)
    if kind == "float_type" and isinstance(given, int) and not isinstance(given, bool):
        return _wrong(parts, "not_finite", f"{named}: expected a number below 1.8e308, got {short(given)}", "a number below 1.8e308", given)
    if wanted := _WANTED.get(kind, ""):
        code = "not_finite" if kind == "finite_number" else "wrong_type"
        return _wrong(parts, code, f"{named}: expected {wanted}, got {short(given)}", wanted, given)
    if kind in _BOUNDS:
        name, phrase = _BOUNDS[kind]
        wanted = phrase.format(_plain(context.get(name)))
        if context.get(name) == 1:
            wanted = wanted.replace("items", "item").replace("characters", "character")
        length = f"{len(given):,}" if kind in _LENGTHS and isinstance(given, Sequence) else None
        code = "wrong_length" if length else "out_of_range" if kind != "string_pattern_mismatch" else "wrong_format"
        message = f"{named}: expected {wanted}, got {length or short(given)}"
        return Fault(pointer(*parts), code, message, wanted, length or short(given))
    if kind == "json_invalid":
        return Fault(pointer(*parts), "invalid_json", f"not valid JSON: {context.get('error', '')}", "valid JSON")
    message = re.sub(r"^(Value|Assertion) error, ", "", found["msg"]).replace("Input should be", "expected")
    code = kind if re.fullmatch("[a-z_]+", kind) and kind not in ("value_error", "assertion_error") else "invalid"
    return _wrong(parts, code, message, None, given)


def _wrong(parts: Sequence[str | int], code: str, message: str, expected: str | None, given: Any) -> Fault:
    return Fault(pointer(*parts), code, message, expected, short(given))


def _unknown_field(parts: Sequence[str | int], inside: Any) -> Fault:
    name = str(parts[-1])
    allowed = list(inside.model_fields) if _is_model(inside) else []
    message = f"unknown field {short(name)}."
    if allowed:
        message += did_you_mean(name, allowed) + f" Allowed here: {', '.join(allowed)}"
    return Fault(pointer(*parts), "unknown_field", message.removesuffix("."), ", ".join(allowed) or None, short(name))


def _unknown_type(parts: Sequence[str | int], inside: Any, given: Any) -> Fault:
    tags = list(_tagged(inside))
    what = {"layers": "layer ", "loss": "loss ", "optimizer": "optimizer ", "schedule": "schedule ", "preprocess": "preprocessing step "}
    what |= {"initialiser": "initialiser ", "bias_initialiser": "initialiser "}
    kind = next((what[str(part)] for part in reversed(parts) if str(part) in what), "")
    at = pointer(*parts, "type")
    if not isinstance(given, Mapping):
        return Fault(pointer(*parts), "wrong_type", f"{_named(parts)}: expected an object, got {short(given)}", "an object", short(given))
    if "type" not in given:
        return Fault(at, "missing_field", f'the field "type" is missing: expected {one_of(tags)}', one_of(tags), "nothing")
    tag = given["type"]
    hint = did_you_mean(tag, tags) if isinstance(tag, str) else ""
    message = f"unknown {kind}type {short(tag)}: expected {one_of(tags)}.{hint}".removesuffix(".")
    return Fault(at, "unknown_type", message, one_of(tags), short(tag))


def _walk(root: Any, location: Sequence[str | int]) -> tuple[list[str | int], Any]:
    """The parts of the pointer, and the type at its end (for a field that does not exist: the model it is not in)."""
    parts: list[str | int] = []
    current = _plain_type(root)
    for step in location:
        tagged = _tagged(current)
        if step in tagged:
            current = tagged[str(step)]
            continue
        if len(_members(current)) > 1 and not tagged and isinstance(step, str):
            current = None  # a union without tags: the step names the member that was tried
            continue
        parts.append(step)
        if _is_model(current):
            field = current.model_fields.get(str(step))
            if field is None:
                return parts, current
            current = _plain_type(field.annotation)
        elif get_origin(current) in (list, tuple, set, Sequence) and isinstance(step, int):
            current = _plain_type(get_args(current)[0])
        elif get_origin(current) in (dict, Mapping):
            current = _plain_type(get_args(current)[1])
        else:
            current = None
    return parts, current


def _plain_type(annotation: Any) -> Any:
    """The type without Annotated, without None beside it, without a root model or an alias around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif _is_model(annotation) and issubclass(annotation, RootModel):
            annotation = annotation.model_fields["root"].annotation
        else:
            members = _members(annotation)
            if len(members) != 1 or members[0] is annotation:
                return annotation
            annotation = members[0]


def _members(annotation: Any) -> list[Any]:
    """The members of a union but None, unions within it opened; one for any other type."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) if member is not type(None) for inner in _members(member)]
    return [annotation]


def _tagged(annotation: Any) -> dict[str, Any]:
    """The members of a union told apart by their "type", by its values."""
    members = [member for member in _members(annotation) if _is_model(member) and "type" in member.model_fields]
    tags = {tag: member for member in members for tag in get_args(member.model_fields["type"].annotation)}
    return tags if len(tags) > 1 else {}


def _literals(annotation: Any) -> Iterator[str]:
    for member in _members(annotation):
        if get_origin(member) is Literal:
            yield from map(str, get_args(member))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _model_named(title: str) -> type[BaseModel] | None:
    waiting: list[type[BaseModel]] = [BaseModel]
    while waiting:
        for model in waiting.pop().__subclasses__():
            if title in (model.__name__, model.model_config.get("title")):
                return model
            waiting.append(model)
    return None


def _named(parts: Sequence[str | int]) -> str:
    """The place in words: weight[0][1] for (..., "weight", 0, 1)."""
    indices = ""
    for part in reversed(parts):
        if isinstance(part, str):
            return part + indices
        indices = f"[{part}]{indices}"
    return f"item {indices}" if indices else "the whole"


def _plain(number: Any) -> str:
    """A bound without the .0 that pydantic gives it."""
    return f"{number:g}" if isinstance(number, float) else str(number)
