"""What is an expression and what is not: the grammar against Python's own, and everything else refused at its position."""

from __future__ import annotations

import ast
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nncore.errors import InvalidSpec
from nncore.minimize import Tape, parse

ARITHMETIC = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Pow,
    ast.USub,
)


def refused(text: str) -> tuple[str, str]:
    """Code and message of the fault; a Tape is made too, because constants are looked at there."""
    with pytest.raises(InvalidSpec) as caught:
        Tape(parse(text))
    (fault,) = caught.value.faults
    assert fault.pointer == "/expression"
    assert fault.expected
    assert fault.got is not None
    assert "column " in fault.got
    assert fault.message.startswith(("column ", "line "))
    assert len(fault.message) < 500
    return fault.code, fault.message


HOSTILE = {
    "attribute": ("x.__class__", "column 2", '"."'),
    "attribute of a number": ("(1).real + x", "column 4", '"."'),
    "method": ("x.bit_length()", "column 2", '"."'),
    "subscript": ("x[0]", "column 2", '"["'),
    "lambda": ("lambda x: x", "column 8", '"x"'),
    "list comprehension": ("[x for x in y]", "column 1", '"["'),
    "generator": ("(x for x in y)", "column 4", '"for"'),
    "dict": ("{x: 1}", "column 1", '"{"'),
    "f-string": ("f'{x}'", "column 2", '"\'"'),
    "string": ('x + "a"', "column 5", '"""'),
    "bytes": ("b'a'*x", "column 2", '"\'"'),
    "walrus": ("(x := 1)", "column 4", '":"'),
    "await": ("await x", "column 7", '"x"'),
    "yield": ("yield x", "column 7", '"x"'),
    "import": ("__import__('os').system('true')", "column 1", '"__import__"'),
    "builtin": ("eval(x)", "column 1", '"eval"'),
    "method of a function": ("sin.__globals__(x)", "column 1", "sin without arguments"),
    "dunder name": ("x__y + 1", "column 1", '"x__y"'),
    "leading underscore": ("1 + _x", "column 5", '"_x"'),
    "keyword argument": ("sin(x=1)", "column 6", '"="'),
    "star": ("max(*x)", "column 5", '"*"'),
    "conditional": ("x if y else z", "column 3", '"if"'),
    "comparison": ("x < y", "column 3", '"<"'),
    "and": ("x and y", "column 3", '"and"'),
    "not": ("not x", "column 5", '"x"'),
    "tuple": ("x, y", "column 2", '","'),
    "tuple in parentheses": ("(x, y)", "column 3", '","'),
    "tuple in a call": ("max(x, (y, z))", "column 10", '","'),
    "empty parentheses": ("x + ()", "column 6", '")"'),
    "statement": ("x; y", "column 2", '";"'),
    "second line": ("x\ny", "line 2, column 1", '"y"'),
    "comment": ("x # y", "column 3", '"#"'),
    "continuation": ("x \\\n + y", "line 1, column 3", '"\\"'),
    "floor division": ("x // 2", "column 4", '"/"'),
    "remainder": ("x % 2", "column 3", '"%"'),
    "matrix product": ("x @ y", "column 3", '"@"'),
    "bits": ("x | y", "column 3", '"|"'),
    "inverted": ("~x", "column 1", '"~"'),
    "hat": ("x^2", "column 2", "**"),
    "plus before": ("+x", "column 1", '"+"'),
    "no operator": ("2x", "column 2", "*"),
    "no operator before (": ("2(x)", "column 2", "*"),
    "no operand": ("x +", "column 4", "the end"),
    "nothing": ("", "column 1", "the end"),
    "blanks": ("  \t ", "column 5", "the end"),
    "never closed": ("sin((x + 1)", "column 12", "arguments of sin"),
    "never closed, which": ("2*(x + (y)", "column 11", '"(" at column 3'),
    "never opened": ("x + 1)", "column 6", '")"'),
    "imaginary": ("1j*x", "column 2", '"j"'),
    "hexadecimal": ("0x10 + x", "column 2", '"x10"'),
    "underscore in a number": ("1_000*x", "column 2", '"_000"'),
    "two points": ("1.2.3*x", "column 4", '".3"'),
    "exponent without digits": ("1e*x", "column 2", '"e"'),
    "null byte": ("x\0", "column 2", "U+0000"),
    "null byte first": ("\0x", "column 1", "U+0000"),
    "bell": ("x\a", "column 2", "U+0007"),
    "Cyrillic look-alike": ("х + 1", "column 1", "U+0445"),
    "full-width look-alike": ("ｘ", "column 1", "U+FF58"),
    "mathematical look-alike": ("1 + 𝐱", "column 5", "U+1D431"),
    "minus look-alike": ("x − 1", "column 3", "U+2212"),
    "superscript": ("x²", "column 2", "U+00B2"),
    "Arabic digit": ("x*٣", "column 3", "U+0663"),
    "no-break space": ("x\u00a0+ 1", "column 2", "U+00A0"),
    "zero-width space": ("x\u200b", "column 2", "U+200B"),
    "direction override": ("\u202ex", "column 1", "U+202E"),
    "surrogate": ("x + \ud800", "column 5", "U+D800"),
    "huge power": ("9**9**9*x", "column 2", "9.0 ** 387420489.0"),
    "huge power on": ("9**9**9**9*x", "column 5", "9.0 ** 387420489.0"),
    "huge number": ("1e400*x", "column 1", "1e400"),
    "digits": ("9" * 5000 + "*x", "column 1", "1e+100"),
    "product of constants": ("x + 1e99*1e99", "column 9", "1e+99 * 1e+99"),
    "division of constants": ("x + 1/0", "column 6", "1.0 / 0.0"),
    "logarithm of a constant": ("x + log(-1)", "column 5", "log(-1.0)"),
    "root of a constant": ("x + (-2)**0.5", "column 9", "(-2.0) ** 0.5"),
    "no variable": ("1 + pi", "column 1", "no variable"),
    "a function alone": ("x*sin", "column 3", "sin without arguments"),
    "an unknown function": ("sine(x)", "column 1", 'Did you mean "sin"?'),
    "too few arguments": ("pow(x)", "column 6", "2 arguments"),
    "too few of more": ("max(x)", "column 6", "2 or more arguments"),
    "too many arguments": ("sin(x, 2)", "column 6", "1 argument"),
    "no arguments": ("sin()", "column 5", '")"'),
    "a comma at the end": ("max(x, 1,)", "column 10", '")"'),
    "a long name": ("1 + " + "a" * 41, "column 5", "40 characters"),
    "100,000 parentheses": ("(" * 100_000 + "x" + ")" * 100_000, "column 10,001", "200,001 characters"),
    "a million characters": ("x" + " + x" * 250_000, "column 10,001", "1,000,001 characters"),
    "parentheses": ("(" * 4_000 + "x" + ")" * 4_000, "column 101", "100 levels"),
    "minuses": ("-" * 9_000 + "x", "column 101", "100 levels"),
    "powers": ("x**" * 3_000 + "x", "column 302", "100 levels"),
    "calls": ("sin(" * 1_500 + "x" + ")" * 1_500, "column 401", "100 levels"),
    "operations": ("x" + "+x" * 4_000, "column 1,000", "at most 1,000 numbers, variables and operations, got more than 1,000"),
    "arguments": ("max(x" + ",x" * 4_000 + ")", "column 2,005", "1,000"),
    "variables": ("+".join(f"x{number}" for number in range(101)), "column 391", "100"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_expression_is_refused_at_its_position(name: str) -> None:
    text, position, mentioned = HOSTILE[name]
    started = time.process_time()
    _, message = refused(text)
    assert time.process_time() - started < 0.05
    assert message.startswith(position + ": expected ")
    assert mentioned in message


@given(st.text())
@example("\ud800\udfff")
@example("((((((((((")
def test_no_text_raises_anything_but_invalid_spec(text: str) -> None:
    try:
        Tape(parse(text))
    except InvalidSpec:
        refused(text)


ALPHABET = [
    "x",
    "y",
    "2",
    "2.5",
    "+",
    "-",
    "*",
    "/",
    "**",
    "(",
    ")",
    ",",
    "sin(",
    "max(",
    "pow(",
    " ",
    "\n",
    "e",
    "pi",
    "_",
    ".",
    "[",
    "é",
    "1e9",
]


@given(st.lists(st.sampled_from(ALPHABET), max_size=30).map("".join))
def test_no_mixture_of_tokens_raises_anything_but_invalid_spec(text: str) -> None:
    try:
        tape = Tape(parse(text))
    except InvalidSpec:
        refused(text)
    else:
        tape.evaluate([0.5] * len(tape.variables))


@given(st.lists(st.sampled_from(["x", "y", "2.5", "+", "-", "*", "/", "**", "(", ")", "(", ")"]), max_size=12).map(" ".join))
@example("- x ** - y ** 2.5")
@example("( x ) ( y )")
def test_arithmetic_is_what_python_takes_for_it(text: str) -> None:
    """But for a plus sign in front, a call and a tuple, which Python knows and we do not."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
        expected = all(isinstance(node, ARITHMETIC) for node in nodes) and any(isinstance(node, ast.Name) for node in nodes)
    except SyntaxError:
        expected = False
    try:
        parse(text)
        accepted = True
    except InvalidSpec:
        accepted = False
    assert accepted == expected


def test_names_of_python_are_names_like_others() -> None:
    assert list(parse("lambda + None*def_1 + X").variables) == ["lambda", "None", "def_1", "X"]


def test_an_expression_may_have_several_lines_and_blanks() -> None:
    expression = parse("\tx**2\r\n  + sin (\n y )")
    assert expression.variables == {"x": 1, "y": 18}


def test_the_largest_expression_is_understood() -> None:
    deepest = "(" * 100 + "x" + ")" * 100
    assert Tape(parse(deepest)).evaluate([3.0]) == (3.0, [1.0])
    longest = "x" + "+x" * 499
    assert Tape(parse(longest)).evaluate([1.0]) == (500.0, [500.0])
    assert parse(" " * 9_999 + "x").variables == {"x": 9_999}


def test_variables_come_in_the_order_of_the_text() -> None:
    variables = parse("z*y + x*y").variables
    assert list(variables) == ["z", "y", "x"]
    assert all(one < other for one, other in pairwise(variables.values()))
