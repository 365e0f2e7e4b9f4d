"""Faults gathered before anything is raised, and the wording they share."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from itertools import islice

from nncore.errors import Fault

MAX_FAULTS = 20
_SHOWN_CHARACTERS = 60
_COMPARED_NAMES = 500


class Faults:
    """The faults found so far, at most MAX_FAULTS of them: an answer is to be read by a person."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, pointer: str, code: str, message: str, *, expected: str | None = None, got: str | None = None) -> None:
        self.extend([Fault(pointer, code, message, expected, got)])

    def extend(self, faults: Iterable[Fault], prefix: str = "") -> None:
        for fault in faults:
            if len(self.found) < MAX_FAULTS:
                self.found.append(fault.under(prefix))

    @property
    def full(self) -> bool:
        return len(self.found) >= MAX_FAULTS

    def __bool__(self) -> bool:
        return bool(self.found)


def pointer(*parts: str | int) -> str:
    """The JSON pointer (RFC 6901) through `parts`: pointer("a/b", 3) is "/a~1b/3"."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def short(value: object) -> str:
    """`value` as a person would name it, in a few words: never long, never failing, whatever it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**30:
        # str() of an integer refuses beyond 4,300 digits, and nobody reads beyond thirty.
        return f"a whole number of about {int(value.bit_length() * 0.30103) + 1:,} digits"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        cut = value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 3] + "..."
        return json.dumps(cut, ensure_ascii=not cut.isprintable())
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} item{'' if len(value) == 1 else 's'}"
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    return f"a {type(value).__name__}"


def counted(number: int, thing: str) -> str:
    """counted(1, "unit") is "1 unit", counted(2000, "unit") is "2,000 units"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def one_of(names: Iterable[str]) -> str:
    """The names in quotes, "a", "b" or "c", cut after a dozen."""
    quoted = [short(name) for name in names]
    if len(quoted) > 12:
        return ", ".join(quoted[:12]) + f" and {len(quoted) - 12} more"
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def all_of(names: Iterable[str]) -> str:
    """The names in quotes, "a", "b" and "c", cut after a dozen."""
    return one_of(names).replace('" or "', '" and "')


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """' Did you mean "label"?' where one of the first _COMPARED_NAMES of `names` is close to `name`, else the empty text."""
    folded = {candidate.casefold()[:_SHOWN_CHARACTERS]: candidate for candidate in reversed(list(islice(names, _COMPARED_NAMES)))}
    close = difflib.get_close_matches(name.casefold()[:_SHOWN_CHARACTERS], folded, n=1, cutoff=0.6)
    return f" Did you mean {short(folded[close[0]])}?" if close else ""
