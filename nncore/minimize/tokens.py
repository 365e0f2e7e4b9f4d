"""The text of an expression, cut into numbers, names, calls and symbols. Whatever else it contains is refused where it stands.

Only plain ASCII passes, so a letter that merely looks like an x is no variable, and no two spellings are one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, cast

from nncore.errors import Fault, InvalidSpec
from nncore.faults import short

MAX_CHARACTERS = 10_000
MAX_NAME_CHARACTERS = 40
LARGEST_NUMBER = 1e100
"""In size, of numbers that are written, computed from written ones, or started from."""

POINTER = "/expression"

Kind = Literal["number", "name", "call", "symbol", "end"]


class Token(NamedTuple):
    """A piece of the text, and where it starts, counted from 0. A call is a name and the parenthesis behind it; its text is the name."""

    kind: Kind
    text: str
    at: int

    @property
    def found(self) -> str:
        """The token as a refusal names it."""
        return "the end of the expression" if self.kind == "end" else short(self.text)


_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<call>[A-Za-z_][A-Za-z0-9_]*)[ \t\r\n]*\("
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol>\*\*|[-+*/(),])"
)
_INSTEAD = {"^": ". Powers are written **", "[": ". Use ( and )", "]": ". Use ( and )", "{": ". Use ( and )", "}": ". Use ( and )"}


def tokens(text: str) -> Iterator[Token]:
    """The tokens of the text, in their order, the last of them "end". Raises InvalidSpec at the first character that begins none."""
    if len(text) > MAX_CHARACTERS:
        raise refusal(
            text,
            MAX_CHARACTERS,
            f"an expression of {len(text):,} characters",
            f"at most {MAX_CHARACTERS:,} characters",
            code="expression_too_large",
        )
    at = 0
    while (at := _end_of_space(text, at)) < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise refusal(text, at, _character(text[at]), "a number, a name or one of ( ) , + - * / **", hint=_INSTEAD.get(text[at], ""))
        kind = cast(Kind, match.lastgroup)
        yield Token(kind, match[kind], at)
        at = match.end()
    yield Token("end", "", len(text))


def where(text: str, at: int) -> str:
    """Its column, counted from 1: "column 7". With its line where the text has more than one."""
    line, start = text.count("\n", 0, at) + 1, text.rfind("\n", 0, at) + 1
    column = f"column {at - start + 1:,}"
    return column if "\n" not in text else f"line {line:,}, {column}"


def refusal(text: str, at: int, found: str, expected: str, *, code: str = "invalid_expression", hint: str = "") -> InvalidSpec:
    """What is wrong at a place of the text, to be raised. The place is in the message, and in what was got."""
    place = where(text, at)
    return InvalidSpec(Fault(POINTER, code, f"{place}: expected {expected}, got {found}{hint}", expected, f"{found} at {place}"))


def _end_of_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it matches nothing at all, too
    return match.end()


def _character(character: str) -> str:
    plain = character.isascii() and character.isprintable()
    return f'"{character}"' if plain else f"the character U+{ord(character):04X}"
