"""Values and gradients of expressions: every function by itself, and whole expressions drawn from the grammar.

Oracles: the same text evaluated by Python (texts of our own making), central differences, and torch.autograd.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nncore.errors import InvalidSpec
from nncore.minimize import Tape, parse
from nncore.minimize.operations import CONSTANTS, FUNCTIONS

PLAIN_PYTHON: dict[str, Any] = {
    **CONSTANTS,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "relu": lambda x: max(x, 0.0),
    "pow": math.pow,
    "min": min,
    "max": max,
    "__builtins__": {},
}

# Numbers are written with a point, so that Python computes with floats as well.
LEAVES = st.sampled_from(["x", "y", "z", "x", "y", "2.0", "0.5", "3.", ".25", "1e-1", "1.5E+0", "pi", "e"])


def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Larger expressions of smaller ones, with and without parentheses: what they mean is for the parsers to find out."""
    calls = []
    for name, function in FUNCTIONS.items():
        most = 4 if name in ("min", "max") else function.operands
        calls.append(st.lists(parts, min_size=function.operands, max_size=most).map(lambda given, name=name: f"{name}({', '.join(given)})"))
    operators = st.tuples(parts, st.sampled_from(["+", " - ", "*", " /", "** ", "-"]), parts).map("".join)
    return st.one_of(
        operators, operators, operators.map("({})".format), parts.map("-{}".format), parts.map("( {} )".format), st.one_of(calls)
    )


EXPRESSIONS = st.recursive(LEAVES, joined, max_leaves=12).filter(lambda text: any(name in text for name in "xyz"))
POINTS = st.fixed_dictionaries({name: st.floats(-3, 3).map(lambda x: round(x, 3)) for name in "xyz"})


def taken_apart(text: str) -> Tape:
    """The tape of a text; texts whose constants alone make no number are passed over, and so are those without a variable."""
    try:
        return Tape(parse(text))
    except InvalidSpec as refused:
        assume(refused.faults[0].code != "out_of_range")
        assume("got no variable" not in refused.faults[0].message)
        raise


def difference(tape: Tape, point: list[float], at: int, h: float) -> float | None:
    """The slope by central differences; None at a kink, where it is too steep for this h, and at the border of where it is defined."""
    beside = [tape.evaluate([*point[:at], point[at] + step, *point[at + 1 :]]) for step in (-h, -h / 2, 0, h / 2, h)]
    values = [each.value for each in beside if each is not None]
    if len(values) < 5:
        return None
    coarse, fine = (values[4] - values[0]) / (2 * h), (values[3] - values[1]) / h
    behind, ahead = (values[2] - values[1]) / (h / 2), (values[3] - values[2]) / (h / 2)
    size = max(abs(values[2]), abs(fine), 1.0)
    return fine if abs(coarse - fine) <= 1e-6 * size and abs(ahead - behind) <= 1e-2 * size else None


# Each function by itself: (function, a point without kink, its derivatives there as known from analysis)
KNOWN = {
    "x + y": (3.0, (1.0, 1.0)),
    "x - y": (-1.0, (1.0, -1.0)),
    "x * y": (2.0, (2.0, 1.0)),
    "x / y": (0.5, (0.5, -0.25)),
    "x ** y": (1.0, (2.0, 0.0)),
    "y ** x": (2.0, (2.0 * math.log(2.0), 1.0)),
    "-x + 0*y": (-1.0, (-1.0, 0.0)),
    "sin(x) + 0*y": (math.sin(1), (math.cos(1), 0.0)),
    "cos(x) + 0*y": (math.cos(1), (-math.sin(1), 0.0)),
    "tan(x) + 0*y": (math.tan(1), (1 / math.cos(1) ** 2, 0.0)),
    "exp(y) + 0*x": (math.e**2, (0.0, math.e**2)),
    "log(y) + 0*x": (math.log(2), (0.0, 0.5)),
    "sqrt(y) + 0*x": (math.sqrt(2), (0.0, 0.5 / math.sqrt(2))),
    "abs(x - y)": (1.0, (-1.0, 1.0)),
    "tanh(x) + 0*y": (math.tanh(1), (1 / math.cosh(1) ** 2, 0.0)),
    "sigmoid(x) + 0*y": (1 / (1 + math.exp(-1)), (math.exp(-1) / (1 + math.exp(-1)) ** 2, 0.0)),
    "relu(x) + 0*y": (1.0, (1.0, 0.0)),
    "relu(x - y)": (0.0, (0.0, 0.0)),
    "pow(y, x + 2)": (8.0, (8.0 * math.log(2.0), 12.0)),
    "min(y, x, 5)": (1.0, (1.0, 0.0)),
    "max(x, y, -5)": (2.0, (0.0, 1.0)),
    "x*pi + y*e": (math.pi + 2 * math.e, (math.pi, math.e)),
}


@pytest.mark.parametrize("text", KNOWN)
def test_values_and_slopes_are_those_of_analysis(text: str) -> None:
    value, slopes = KNOWN[text]
    tape = Tape(parse(text))
    found = tape.evaluate([{"x": 1.0, "y": 2.0}[name] for name in tape.variables])
    assert found is not None
    assert found.value == pytest.approx(value, rel=1e-15)
    assert dict(zip(tape.variables, found.gradient, strict=True)) == pytest.approx({"x": slopes[0], "y": slopes[1]}, rel=1e-14)


def test_every_function_is_among_the_known_ones() -> None:
    assert all(any(f"{name}(" in text for text in KNOWN) for name in FUNCTIONS)


@pytest.mark.parametrize(
    ("text", "x", "slope"),
    [
        ("abs(x)", 0.0, 0.0),
        ("relu(x)", 0.0, 0.0),
        ("max(x, 2*x)", 0.0, 1.0),
        ("min(x, 2*x)", 0.0, 1.0),
        ("max(2*x, x, 3*x)", 0.0, 2.0),
        ("x**2", 0.0, 0.0),
        ("x**1", 0.0, 1.0),
        ("x**0", 0.0, 0.0),
        ("x**2", -3.0, -6.0),
        ("x**-1", -2.0, -0.25),
        ("2**x", 0.0, math.log(2)),
        ("0**x", 2.0, 0.0),
        ("sigmoid(x)", 800.0, 0.0),
        ("sigmoid(x)", -800.0, 0.0),
    ],
)
def test_at_a_kink_or_an_end_the_slope_is_the_one_that_is_documented(text: str, x: float, slope: float) -> None:
    found = Tape(parse(text)).evaluate([x])
    assert found is not None
    assert found.gradient == pytest.approx([slope], abs=0)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("log(x)", 0.0),
        ("log(x)", -1.0),
        ("sqrt(x)", -1.0),
        ("sqrt(x)", 0.0),  # its slope
        ("x**0.5", 0.0),  # its slope
        ("x**0.5", -1.0),
        ("x**-1", 0.0),
        ("x**x", -2.0),  # its slope along the exponent
        ("1/x", 0.0),
        ("exp(x)", 710.0),
        ("x*1e99*1e99*1e99", 1e20),
        ("1/(x*1e99*1e99*1e99)", 1e20),  # 0 by way of infinity
        ("max(exp(x), x)", 1e3),
        ("max(0, -exp(x))", 1e3),  # an error is not hidden by a max
        ("relu(x*1e99*1e99*1e99 - x*1e99*1e99*1e99)", 1e20),  # nor a nan by a relu
        ("x", math.inf),
        ("x", math.nan),
        ("sin(x)", math.inf),
        ("x*1e99*1e99", 0.5),  # a slope whose square overflows
        ("-x*1e99*1e99", 0.5),
    ],
)
def test_what_is_not_finite_is_no_number(text: str, x: float) -> None:
    tape = Tape(parse(text))
    assert tape.evaluate([x]) is None
    assert tape.why_not([x])


def test_a_branch_that_adds_nothing_has_no_slope_however_steep_it_is() -> None:
    found = Tape(parse("relu(x)*sqrt(abs(x)) + x")).evaluate([0.0])
    assert found is not None
    assert found.gradient == [1.0]


def test_finite_numbers_whose_sum_overflows_are_finite() -> None:
    found = Tape(parse("(x*1e100*1e100*1e100 + y*1e100*1e100*1e100)*1e-100*1e-100*1e-100")).evaluate([0.8e8, 0.8e8])
    assert found is not None
    assert found.value == pytest.approx(1.6e8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-x**2", -9),
        ("(-x)**2", 9),
        ("2**-x", 0.125),
        ("2**-x**2", 2**-9),
        ("x**x**0.5", 3 ** (3**0.5)),
        ("-x*2 + 1", -5),
        ("2 - x - 1", -2),
        ("2 - -x", 5),
        ("2 - (x - 1)", 0),
        ("12/x/2", 2),
        ("12/x*2", 8),
        ("1 + 2*x**2/6 - 1", 3),
        ("--x", 3),
        ("2*-x", -6),
        ("sin(x - 3)*5 + max(1, x, 2)**2", 9),
        ("  x\t+\n1 ", 4),
        (".5*x + 1. + 1e1 + 2E-1", 12.7),
    ],
)
def test_operators_bind_as_in_mathematics(text: str, value: float) -> None:
    found = Tape(parse(text)).evaluate([3.0])
    assert found is not None
    assert found.value == pytest.approx(value, rel=1e-15)


def test_constants_are_computed_once() -> None:
    assert len(Tape(parse("x*(2*pi/360)**2 + sin(pi/2) + -3**2"))) == 3


@given(text=EXPRESSIONS, at=POINTS)
def test_an_expression_is_worth_what_python_makes_of_it(text: str, at: dict[str, float]) -> None:
    tape = taken_apart(text)
    found = tape.evaluate([at[name] for name in tape.variables])
    assume(found is not None)
    assert found is not None
    expected = eval(text, PLAIN_PYTHON, dict(at))  # the text is our own
    assert found.value == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(text=EXPRESSIONS, at=POINTS)
def test_gradients_are_what_differences_say(text: str, at: dict[str, float]) -> None:
    tape = taken_apart(text)
    point = [at[name] for name in tape.variables]
    found = tape.evaluate(point)
    assume(found is not None)
    assert found is not None
    slopes = [difference(tape, point, number, 2e-5) for number in range(len(point))]
    assume(None not in slopes)
    size = max(1.0, abs(found.value), *map(abs, found.gradient))
    for nudge in (-1e-7, 1e-7):  # min(abs(x), x) is smooth at 0, but its parts are not
        beside = tape.evaluate([number + nudge for number in point])
        assume(beside is not None and beside.gradient == pytest.approx(found.gradient, rel=1e-3, abs=1e-3 * size))
    assert found.gradient == pytest.approx(slopes, rel=1e-5, abs=1e-5 * size)


@pytest.mark.oracle
@given(text=EXPRESSIONS, at=POINTS)
def test_gradients_are_those_of_torch(text: str, at: dict[str, float]) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    tape = taken_apart(text)
    found = tape.evaluate([at[name] for name in tape.variables])
    assume(found is not None)
    assert found is not None
    points = {name: torch.tensor(at[name], dtype=torch.float64, requires_grad=True) for name in tape.variables}
    value = eval(text, in_torch(torch), points)  # the text is our own
    slopes = torch.autograd.grad(value, list(points.values()), allow_unused=True, materialize_grads=True)
    expected = [float(slope) for slope in slopes]
    assume(all(map(math.isfinite, expected)))  # torch multiplies the 0 of a branch not taken with an infinite slope
    assert found.value == pytest.approx(float(value.detach()), rel=1e-12, abs=1e-300)
    # Where large slopes cancel each other, both are right to the last digits of what cancels.
    assert found.gradient == pytest.approx(expected, rel=1e-9, abs=1e-9 * max(1.0, *map(abs, expected)))


def in_torch(torch: Any) -> dict[str, Any]:
    """The functions over tensors and plain numbers. Of equal operands min and max follow the first, as ours do."""

    def numbers(*given: Any) -> list[Any]:
        return [torch.as_tensor(each, dtype=torch.float64) for each in given]

    def of_one(function: Any) -> Any:
        return lambda x: function(*numbers(x))

    def chosen(prefers: Any) -> Any:
        def choose(first: Any, *others: Any) -> Any:
            for other in others:
                a, b = numbers(first, other)
                first = torch.where(prefers(a, b), a, b)
            return first

        return choose

    names = ["sin", "cos", "tan", "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu"]
    return {
        **CONSTANTS,
        **{name: of_one(getattr(torch, name)) for name in names},
        "pow": lambda a, b: torch.pow(*numbers(a, b)),
        "min": chosen(lambda a, b: a <= b),
        "max": chosen(lambda a, b: a >= b),
        "__builtins__": {},
    }
