"""Which steps a column goes through, and columns that go through the same ones side by side."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol, TypeVar

FEATURES_AT_ONCE = 16  # a cache line of float32


class Stop(Protocol):
    """A step, fitted or not, that knows its columns."""

    @property
    def makes_features(self) -> bool: ...

    @property
    def columns(self) -> Container[str] | None: ...


class Route(NamedTuple):
    """Positions of steps: those of features in front of the maker, the maker, and those behind it. Without one, all are in front."""

    before: tuple[int, ...]
    maker: int | None
    after: tuple[int, ...]


def route_of(name: str, steps: Sequence[Stop]) -> Route:
    """The steps of the column of this name. Raises ValueError where it goes through two makers."""
    passed = [at for at, step in enumerate(steps) if step.columns is not None and name in step.columns]
    makers = [at for at in passed if steps[at].makes_features]
    if len(makers) > 1:
        raise ValueError(f"new features are made twice of column {name!r}")
    if not makers:
        return Route(tuple(passed), None, ())
    return Route(tuple(at for at in passed if at < makers[0]), makers[0], tuple(at for at in passed if at > makers[0]))


Thing = TypeVar("Thing")


def by_route(things: Sequence[Thing], route: Callable[[Thing], Route]) -> Iterator[tuple[Route, list[Thing]]]:
    """Runs of things of one route; each by itself where features are made."""
    for found, run in groupby(things, route):
        if found.maker is None:
            yield found, list(run)
        else:
            for each in run:
                yield found, [each]
