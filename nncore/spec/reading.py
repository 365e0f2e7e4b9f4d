"""read_spec: what can be read of a spec with faults, so that one answer names those of its shape and those of its sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from nncore.errors import Fault, InvalidSpec
from nncore.spec.training import TrainingSpec
from nncore.spec.wording import faults_of

Spec = TypeVar("Spec", bound=TrainingSpec)

_STAND_INS: Mapping[str, Any] = {"network": {"layers": [{"type": "flatten"}]}, "target": "-", "dtype": "float64"}
"""For fields without a default, and where the default could bring faults of its own."""


def read_spec(model: type[Spec], document: Mapping[str, Any], **stand_ins: Any) -> tuple[Spec, frozenset[str], tuple[Fault, ...]]:
    """(the spec, the top-level fields that are at fault, their faults): what resolve needs to judge the others.

    A field at fault holds a stand-in or its default. stand_ins: for the required fields that `model` adds.
    Raises InvalidSpec where the document as a whole is at fault.
    """
    try:
        return model.model_validate(document), frozenset(), ()
    except ValidationError as error:
        faults = faults_of(error, model=model)
        places = [each["loc"] for each in error.errors(include_url=False, include_context=False, include_input=False)]
    if not all(places):
        raise InvalidSpec(faults)
    unread = frozenset(str(place[0]) for place in places)
    readable = {name: value for name, value in document.items() if name not in unread}
    instead = {name: value for name, value in {**_STAND_INS, **stand_ins}.items() if name in unread}
    return model.model_validate(readable | instead), unread, faults
