"""The closed grammar of expressions: what the text means, in the order in which it is computed, or InvalidSpec with the position.

    expression = term {("+" | "-") term}
    term       = factor {("*" | "/") factor}
    factor     = "-" factor | atom ["**" factor]
    atom       = number | constant | variable | function "(" expression {"," expression} ")" | "(" expression ")"

So -x**2 is -(x**2), 2**-x**2 is 2**(-(x**2)), and a - b - c is (a - b) - c, as in Python and in mathematics.

It is read in one pass by two stacks (Dijkstra's shunting yard), without recursion: no text, however deep, can exhaust the stack of the
interpreter. At every token it is known what may stand there, and that is what a refusal names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from nncore.errors import InvalidSpec
from nncore.faults import counted, did_you_mean
from nncore.minimize.operations import CONSTANTS, FOLDED, FUNCTIONS, NEGATE, OPERATORS, Operation
from nncore.minimize.tokens import LARGEST_NUMBER, MAX_NAME_CHARACTERS, Token, refusal, tokens, where

MAX_DEPTH = 100  # of parentheses, calls and operators that wait for their operand
MAX_NODES = 1_000  # numbers, variables and operations
MAX_VARIABLES = 100

_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}
_BINDING_OF_MINUS = 3  # before an operand: below **, above *


class Number(NamedTuple):
    value: float


class Variable(NamedTuple):
    name: str


class Apply(NamedTuple):
    """An operation on the last one or two of what was computed before. at: where it stands in the text."""

    operation: Operation
    at: int


Node = Number | Variable | Apply


@dataclass(frozen=True)
class Expression:
    """An expression that was understood. nodes: operands before their operation. variables: where each stands first, in that order."""

    text: str
    nodes: tuple[Node, ...]
    variables: dict[str, int]


class _Operator(NamedTuple):
    """An operator that waits for its right operand."""

    operation: Operation
    binding: int
    at: int


@dataclass
class _Open:
    """A parenthesis that is open. function: whose arguments it holds, if any."""

    at: int
    function: Operation | None
    arguments: int = 1


def parse(text: str) -> Expression:
    """What the text means. Raises InvalidSpec, its fault at /expression, for any text outside the grammar or beyond a limit."""
    parser = _Parser(text)
    for token in tokens(text):
        if parser.wants_operand:
            parser.operand(token)
        else:
            parser.operator(token)
    if not parser.variables:
        raise refusal(text, 0, "no variable", "at least one variable, such as x")
    return Expression(text, tuple(parser.nodes), parser.variables)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.nodes: list[Node] = []
        self.variables: dict[str, int] = {}
        self.wants_operand = True
        self._waiting: list[_Operator | _Open] = []

    # Where an operand may begin

    def operand(self, token: Token) -> None:
        if token.kind == "number":
            self._number(token)
        elif token.kind == "name":
            self._name(token)
        elif token.kind == "call":
            self._wait(_Open(token.at, self._function(token)))
        elif token.text == "(":
            self._wait(_Open(token.at, None))
        elif token.text == "-":
            self._wait(_Operator(NEGATE, _BINDING_OF_MINUS, token.at))
        else:
            allowed = f'a number, a variable, {", ".join(CONSTANTS)}, a function ({", ".join(FUNCTIONS)}), "(" or "-"'
            raise refusal(self.text, token.at, token.found, allowed)

    def _number(self, token: Token) -> None:
        number = float(token.text)
        if number > LARGEST_NUMBER:
            raise refusal(self.text, token.at, f"the number {token.found}", f"a number up to {LARGEST_NUMBER:g}", code="out_of_range")
        self._add(Number(number), token.at)
        self.wants_operand = False

    def _name(self, token: Token) -> None:
        name = token.text
        if name in FUNCTIONS:
            raise refusal(self.text, token.at, f"the function {name} without arguments", f'"(" behind {name}')
        if name in CONSTANTS:
            self._add(Number(CONSTANTS[name]), token.at)
        else:
            if name.startswith("_") or "__" in name or len(name) > MAX_NAME_CHARACTERS:
                allowed = f"a name of at most {MAX_NAME_CHARACTERS} characters that begins with a letter and has no two _ in a row"
                raise refusal(self.text, token.at, f"the name {token.found}", allowed, code="invalid_name")
            self.variables.setdefault(name, token.at)
            if len(self.variables) > MAX_VARIABLES:
                raise self._too_large(token.at, f"more than {MAX_VARIABLES}", f"at most {MAX_VARIABLES} variables")
            self._add(Variable(name), token.at)
        self.wants_operand = False

    def _function(self, token: Token) -> Operation:
        found = FUNCTIONS.get(token.text)
        if found is None:
            hint = did_you_mean(token.text, FUNCTIONS) or " A product is written with *"
            expected = f"one of {', '.join(FUNCTIONS)}"
            raise refusal(self.text, token.at, f"the function {token.found}", expected, code="unknown_function", hint=f".{hint}")
        return found

    # Where an operand has ended

    def operator(self, token: Token) -> None:
        if token.kind == "symbol" and token.text in _BINDING:
            binding = _BINDING[token.text]
            self._apply_those_above(binding if token.text == "**" else binding - 1)
            self._wait(_Operator(OPERATORS[token.text], binding, token.at))
            self.wants_operand = True
            return
        self._apply_those_above(0)
        opened = self._waiting[-1] if self._waiting else None
        assert not isinstance(opened, _Operator)  # every operator binds more tightly than 0
        if token.text == ")" and opened is not None:
            self._waiting.pop()
            self._close(opened, token.at)
        elif token.text == "," and opened is not None and opened.function is not None:
            opened.arguments += 1
            self._check_not_too_many(opened, token.at)
            self.wants_operand = True
        elif token.kind != "end" or opened is not None:
            raise self._no_operator(token, opened)

    def _close(self, opened: _Open, at: int) -> None:
        function, given = opened.function, opened.arguments
        if function is None:
            return
        if given < function.operands:
            raise self._wrong_count(function, given, at)
        for _ in range(given - 1 if function.operands == 2 else 1):
            self._add(Apply(function, opened.at), opened.at)

    def _check_not_too_many(self, opened: _Open, at: int) -> None:
        function = opened.function
        if function is not None and opened.arguments > function.operands and function.name not in FOLDED:
            raise self._wrong_count(function, opened.arguments, at)

    def _wrong_count(self, function: Operation, given: int, at: int) -> InvalidSpec:
        wanted = f"{function.operands} or more arguments" if function.name in FOLDED else counted(function.operands, "argument")
        found = (
            f"argument number {given} of {function.name}"
            if given > function.operands
            else f"{counted(given, 'argument')} of {function.name}"
        )
        return refusal(self.text, at, found, wanted, code="wrong_arguments")

    def _no_operator(self, token: Token, opened: _Open | None) -> InvalidSpec:
        ends = "the end of the expression" if opened is None else f'")" for the "(" at {where(self.text, opened.at)}'
        if opened is not None and opened.function is not None:
            ends = f'"," or ")" of the arguments of {opened.function.name}'
        hint = ". A product is written with *" if token.kind in ("number", "name", "call") or token.text == "(" else ""
        return refusal(self.text, token.at, token.found, f"an operator ({' '.join(_BINDING)}) or {ends}", hint=hint)

    # The two stacks

    def _wait(self, what: _Operator | _Open) -> None:
        if len(self._waiting) == MAX_DEPTH:
            raise self._too_large(what.at, "nesting beyond the limit", f"at most {MAX_DEPTH} levels")
        self._waiting.append(what)

    def _apply_those_above(self, binding: int) -> None:
        while self._waiting and isinstance(last := self._waiting[-1], _Operator) and last.binding > binding:
            self._waiting.pop()
            self._add(Apply(last.operation, last.at), last.at)

    def _add(self, node: Node, at: int) -> None:
        if len(self.nodes) == MAX_NODES:
            raise self._too_large(at, f"more than {MAX_NODES:,}", f"at most {MAX_NODES:,} numbers, variables and operations")
        self.nodes.append(node)

    def _too_large(self, at: int, found: str, expected: str) -> InvalidSpec:
        return refusal(self.text, at, found, expected, code="expression_too_large")
