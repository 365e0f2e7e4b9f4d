"""Parameters that a spec gives instead of having them drawn: nested lists of numbers, one level for each axis of the parameter.

Training starts from them, and a network whose weights are all given can be evaluated without training.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from nncore.errors import Fault, InvalidSpec
from nncore.faults import short
from nncore.layers.layer import Layer, Shape

MOST_AXES = 4


def shape_of(given: Any) -> Shape:
    """The shape of nested lists that passed the check below."""
    shape = []
    while isinstance(given, list):
        shape.append(len(given))
        given = given[0]
    return tuple(shape)


def largest_of(given: Any) -> float:
    """The largest absolute value in nested lists of numbers; 0 where there is none."""
    return max(map(largest_of, given), default=0.0) if isinstance(given, list) else abs(given)


def _checked(given: list[Any]) -> list[Any]:
    """The same lists. The first thing in them that is no finite number, or no list as long as its neighbours, is refused."""
    wanted: list[int] = []
    first: Any = given
    while isinstance(first, list):
        wanted.append(len(first))
        if not first or len(wanted) > MOST_AXES:
            raise _refused("an empty list" if not first else "lists nested too deep")
        first = first[0]
    _look(given, wanted)
    return given


def _look(given: Any, wanted: list[int]) -> None:
    if not isinstance(given, list) or len(given) != wanted[0]:
        raise _refused(f"{short(given)} where its neighbour has {wanted[0]}")
    if len(wanted) > 1:
        for part in given:
            _look(part, wanted[1:])
    elif not (set(map(type, given)) <= {int, float} and all(_finite(number) for number in given)):
        raise _refused(short(next(each for each in given if type(each) not in (int, float) or not _finite(each))))


def _finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # a whole number that no float is near to
        return False


def _refused(found: str) -> PydanticCustomError:
    return PydanticCustomError(
        "not_numbers", "expected finite numbers in nested lists of equal lengths, one level for each axis; found {found}", {"found": found}
    )


Given = Annotated[
    list[Any],
    AfterValidator(_checked),
    Field(min_length=1, description="Nested lists of numbers, one level for each axis."),
]


_DRAWN_BY = {"weight": "initialiser", "weight_ih": "initialiser", "weight_hh": "recurrent_initialiser"}


def check_given(layer: Layer, **wanted: Shape | None) -> None:
    """Raises InvalidSpec where a parameter that was given is drawn, too, or has another shape than the layer has for it.

    wanted: the shape by name; None where the layer has no such parameter.
    """
    kind = layer.model_dump(include={"type"})["type"]
    for name, shape in wanted.items():
        given, by = getattr(layer, name), _DRAWN_BY.get(name, "bias_initialiser")
        drawn = getattr(layer, by, None) is not None
        if shape is None and (given is not None or drawn):
            message = f"{name if given is not None else by} stands here, but this {kind} layer has no {name}; leave it out"
            raise InvalidSpec(Fault(f"/{name if given is not None else by}", "given_not_used", message))
        if given is not None and drawn:
            message = f"the {name} of the {kind} layer is given, so nothing is drawn for it; leave out one of them"
            raise InvalidSpec(Fault(f"/{by}", "given_and_drawn", message))
        if given is not None and shape_of(given) != shape:
            message = f"the {name} of a {kind} layer has the shape {list(shape or ())} here, but the one given has {list(shape_of(given))}"
            raise InvalidSpec(Fault(f"/{name}", "shape_mismatch", message, str(list(shape or ())), str(list(shape_of(given)))))
