"""place_at: where in what the user wrote a location of pydantic's points, and which type was expected there.

pydantic's locations name the member of a union that was tried (/layers/0/dense/units); a JSON pointer must not. So locations are
walked along the types of the model.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel

from nncore.faults import short


@dataclass
class Place:
    """parts: of the JSON pointer. type: what is expected there; for a field that does not exist, the model that does not have it.

    bounds: ge, gt, le and lt, where the place is a field that has them. is_name: it is a name in an object that is at fault, not what
    stands under it.
    """

    parts: list[str | int]
    type: Any
    bounds: dict[str, Any]
    is_name: bool = False

    @property
    def name(self) -> str:
        """The place in words: weight[0][1] for (..., "weight", 0, 1)."""
        if self.is_name:
            return f"the name {short(self.parts[-1])}"
        indices = ""
        for part in reversed(self.parts):
            if isinstance(part, str):
                return part + indices
            indices = f"[{part}]{indices}"
        return f"item {indices}" if indices else "the whole"


def place_at(root: Any, location: Sequence[str | int]) -> Place:
    """The place that `location` names in something of the type `root`."""
    at = Place([], _plain(root), {})
    named = False  # whether the step before was a name in an object
    for step in location:
        if named and step == "[key]":
            at.is_name = True
            continue
        named = get_origin(at.type) in (dict, Mapping)
        tagged = tagged_members(at.type)
        if step in tagged:
            at.type = tagged[str(step)]
            continue
        if len(_members(at.type)) > 1 and not tagged and isinstance(step, str):
            at.type = None  # a union without tags: the step names the member that was tried
            continue
        at.parts.append(step)
        at.bounds = {}
        if is_model(at.type):
            field = at.type.model_fields.get(str(step))
            if field is None:
                return at
            at.type = _plain(field.annotation)
            at.bounds = {name: getattr(each, name) for each in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(each, name)}
        elif get_origin(at.type) in (list, tuple, set, Sequence) and isinstance(step, int):
            at.type = _plain(get_args(at.type)[0])
        elif get_origin(at.type) in (dict, Mapping):
            at.type = _plain(get_args(at.type)[1])
        else:
            at.type = None
    return at


def tagged_members(annotation: Any) -> dict[str, Any]:
    """The members of a union told apart by their "type", by its values."""
    members = [member for member in _members(annotation) if is_model(member) and "type" in member.model_fields]
    tags = {tag: member for member in members for tag in get_args(member.model_fields["type"].annotation)}
    return tags if len(tags) > 1 else {}


def literals(annotation: Any) -> Iterator[str]:
    """The values that a Literal, or those within a union, allow."""
    for member in _members(annotation):
        if get_origin(member) is Literal:
            yield from map(str, get_args(member))


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def model_named(title: str) -> type[BaseModel] | None:
    """The model that pydantic's errors call so."""
    waiting: list[type[BaseModel]] = [BaseModel]
    while waiting:
        for model in waiting.pop().__subclasses__():
            if title in (model.__name__, model.model_config.get("title")):
                return model
            waiting.append(model)
    return None


def _plain(annotation: Any) -> Any:
    """The type without Annotated, without None beside it, without a root model or an alias around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif is_model(annotation) and issubclass(annotation, RootModel):
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
