"""Every operator and function of an expression: its value, and its slope along each operand.

An operation takes two numbers and answers (value, slope along the first, slope along the second), at once because they share their work.
A function of one number is handed a second one that it leaves alone. To add one, write it here and add its line to FUNCTIONS; the
checks against differences and against torch find it there by themselves.

Where the value is not a finite number, it may raise ArithmeticError or ValueError, as Python's math does; whoever calls takes that for
"not finite". A slope that is infinite while the value is finite (sqrt at 0) is math.inf: it may not be wanted.

At a kink one of the slopes beside it is taken: abs and relu have slope 0 at 0; of equal operands min and max follow the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

Slopes = tuple[float, float, float]


class Operation(NamedTuple):
    """An operator or function. operands: 1 or 2."""

    name: str
    operands: int
    evaluate: Callable[[float, float], Slopes]

    def shown(self, a: float, b: float) -> str:
        """What is computed, as a person would write it: "log(-3.0)", "1.0 / 0.0"."""
        if self.name.isalpha():
            return f"{self.name}({a!r})" if self.operands == 1 else f"{self.name}({a!r}, {b!r})"
        first = f"({a!r})" if a < 0.0 else repr(a)
        return f"{self.name}{first}" if self.operands == 1 else f"{first} {self.name} {b!r}"


def _add(a: float, b: float) -> Slopes:
    return a + b, 1.0, 1.0


def _subtract(a: float, b: float) -> Slopes:
    return a - b, 1.0, -1.0


def _multiply(a: float, b: float) -> Slopes:
    return a * b, b, a


def _divide(a: float, b: float) -> Slopes:
    quotient = a / b
    return quotient, 1.0 / b, -quotient / b


def _power(a: float, b: float) -> Slopes:
    """a^b for a > 0, and for whole b at other a. Along b it has a slope only where a >= 0."""
    value = math.pow(a, b)
    if a > 0.0:
        return value, b * value / a, value * math.log(a)
    if a < 0.0:
        return value, b * value / a, math.nan
    if b == 1.0:
        return value, 1.0, 0.0
    return value, 0.0 if b > 1.0 or b == 0.0 else math.inf, 0.0


def _negate(a: float, _: float) -> Slopes:
    return -a, -1.0, 0.0


def _sine(a: float, _: float) -> Slopes:
    return math.sin(a), math.cos(a), 0.0


def _cosine(a: float, _: float) -> Slopes:
    return math.cos(a), -math.sin(a), 0.0


def _tangent(a: float, _: float) -> Slopes:
    value = math.tan(a)
    return value, 1.0 + value * value, 0.0


def _exponential(a: float, _: float) -> Slopes:
    value = math.exp(a)
    return value, value, 0.0


def _logarithm(a: float, _: float) -> Slopes:
    return math.log(a), 1.0 / a, 0.0


def _square_root(a: float, _: float) -> Slopes:
    root = math.sqrt(a)
    return root, 0.5 / root if root else math.inf, 0.0


def _absolute(a: float, _: float) -> Slopes:
    return abs(a), math.copysign(1.0, a) if a else 0.0, 0.0


def _hyperbolic_tangent(a: float, _: float) -> Slopes:
    value = math.tanh(a)
    return value, 1.0 - value * value, 0.0


def _sigmoid(a: float, _: float) -> Slopes:
    """1 / (1 + e^-a), by the sign of a, so that e^|a| is never computed."""
    if a >= 0.0:
        value = 1.0 / (1.0 + math.exp(-a))
    else:
        power = math.exp(a)
        value = power / (1.0 + power)
    return value, value * (1.0 - value), 0.0


def _relu(a: float, _: float) -> Slopes:
    return (a, 1.0, 0.0) if a > 0.0 else (0.0, 0.0, 0.0)


def _least(a: float, b: float) -> Slopes:
    return (a, 1.0, 0.0) if a <= b else (b, 0.0, 1.0)


def _greatest(a: float, b: float) -> Slopes:
    return (a, 1.0, 0.0) if a >= b else (b, 0.0, 1.0)


NEGATE = Operation("-", 1, _negate)

OPERATORS = {
    operation.name: operation
    for operation in (
        Operation("+", 2, _add),
        Operation("-", 2, _subtract),
        Operation("*", 2, _multiply),
        Operation("/", 2, _divide),
        Operation("**", 2, _power),
    )
}

FUNCTIONS = {
    operation.name: operation
    for operation in (
        Operation("sin", 1, _sine),
        Operation("cos", 1, _cosine),
        Operation("tan", 1, _tangent),
        Operation("exp", 1, _exponential),
        Operation("log", 1, _logarithm),
        Operation("sqrt", 1, _square_root),
        Operation("abs", 1, _absolute),
        Operation("tanh", 1, _hyperbolic_tangent),
        Operation("sigmoid", 1, _sigmoid),
        Operation("relu", 1, _relu),
        Operation("pow", 2, _power),
        Operation("min", 2, _least),
        Operation("max", 2, _greatest),
    )
}

FOLDED = ("min", "max")
"""Functions that take more than two arguments, too: from left to right."""

CONSTANTS = {"pi": math.pi, "e": math.e}
