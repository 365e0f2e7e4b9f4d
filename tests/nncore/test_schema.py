"""The JSON Schema of a spec, as /openapi.json shows it: every part has an example that is one, every field says what it is."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter

from nncore.augment import AugmentSpec
from nncore.initialisers import BiasInitialiser, WeightInitialiser
from nncore.layers import LayerSpec
from nncore.losses import LossSpec
from nncore.optimizers import OptimizerSpec
from nncore.preprocess import PreprocessSpec
from nncore.schedules import ScheduleSpec
from nncore.spec import TrainingSpec

UNIONS = (LayerSpec, LossSpec, OptimizerSpec, ScheduleSpec, WeightInitialiser, BiasInitialiser, PreprocessSpec, AugmentSpec)
PARTS = {part: union for union in UNIONS for part in get_args(get_args(union)[0])}


def parts_of(annotation: Any, found: dict[type[BaseModel], None]) -> dict[type[BaseModel], None]:
    """Every model that stands somewhere in it, itself too."""
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        for inner in get_args(annotation):
            parts_of(inner, found)
    elif annotation not in found:
        found[annotation] = None
        for field in annotation.model_fields.values():
            parts_of(field.annotation, found)
    return found


FIELDS = {
    f"{part.__name__}.{name}": field.description
    for part in parts_of(TrainingSpec, {})
    for name, field in part.model_fields.items()
    if name != "type"
}


@pytest.mark.parametrize(("part", "union"), PARTS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_every_part_is_shown_by_an_example_that_is_one(part: type[BaseModel], union: Any) -> None:
    examples = TypeAdapter(union).json_schema()["$defs"][part.__name__].get("examples")
    assert examples
    for example in examples:
        assert type(TypeAdapter(union).validate_python(example)) is part


def test_all_parts_of_a_spec_are_looked_at() -> None:
    assert set(PARTS) < set(parts_of(TrainingSpec, {}))


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_says_what_it_is(name: str) -> None:
    assert FIELDS[name]


@pytest.mark.parametrize("form", ['"valid"', '"same"', "a number", "[p, q]", "[top, left, bottom, right]", "[before, after]"])
@pytest.mark.parametrize("part", [part for part in PARTS if "padding" in part.model_fields], ids=lambda part: part.__name__)
def test_every_form_of_a_padding_is_told(part: type[BaseModel], form: str) -> None:
    assert form in (part.model_fields["padding"].description or "")
