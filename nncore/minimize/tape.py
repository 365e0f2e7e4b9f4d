"""An expression as a tape: a list of operations over numbered slots, and its value and gradient at a point.

Slots: the variables, then the constants, then the result of every operation in its order. Forward, each operation leaves its value and
its slopes. Backward, from the last operation to the first, each hands what the result gains from it on to its operands, times their
slopes: one pass gives the derivative along every variable (reverse-mode differentiation; Griewank, Walther, "Evaluating derivatives",
2008, chapter 3).

Everything is a float64. The value counts as finite only if every operation on the way to it gave a finite number: what is hidden
behind a max or a division by infinity is an error of the expression all the same.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

from nncore.minimize.operations import Operation
from nncore.minimize.parser import Apply, Expression, Number, Variable
from nncore.minimize.tokens import LARGEST_NUMBER, refusal, where

LARGEST_SLOPE = math.sqrt(sys.float_info.max)
"""A gradient beyond it counts as not finite: its square overflows, and an optimizer that squares it would stand still for ever."""


class Evaluation(NamedTuple):
    """gradient: one slope for each variable."""

    value: float
    gradient: list[float]


class _Row(NamedTuple):
    """An operation and the slots of its operands. Of one operand, `b` is the slot that nothing reads."""

    operation: Operation
    a: int
    b: int
    at: int


class Tape:
    """The operations of an expression, made once, run at many points.

    Operations on constants alone are done when it is made. Raises InvalidSpec, at /expression, when one of them has no finite value.
    """

    def __init__(self, expression: Expression) -> None:
        self.variables = tuple(expression.variables)
        self._text = expression.text
        count = len(self.variables)
        numbers = sum(isinstance(node, Number) for node in expression.nodes)
        slots = {name: slot for slot, name in enumerate(self.variables)}
        # Folding makes no more constants than there are numbers, so where results begin is known before it is done.
        constants, unread, self._first_result = [0.0], count, count + 1 + numbers
        rows: list[_Row] = []
        operands: list[int | Number] = []  # slots, and numbers that may still be folded

        def slot_of(operand: int | Number) -> int:
            if isinstance(operand, int):
                return operand
            constants.append(operand.value)
            return count + len(constants) - 1

        for node in expression.nodes:
            if isinstance(node, Number):
                operands.append(node)
            elif isinstance(node, Variable):
                operands.append(slots[node.name])
            else:
                b = operands.pop() if node.operation.operands == 2 else None
                a = operands.pop()
                if isinstance(a, Number) and not isinstance(b, int):
                    operands.append(self._folded(node, a, b))
                else:
                    operands.append(self._first_result + len(rows))
                    rows.append(_Row(node.operation, slot_of(a), unread if b is None else slot_of(b), node.at))
        self._result = slot_of(operands.pop())
        self._constants = constants + [0.0] * (1 + numbers - len(constants))
        self._rows = tuple(rows)
        self._forward = tuple((row.operation.evaluate, row.a, row.b) for row in rows)
        self._backward = tuple((self._first_result + number, row.a, row.b) for number, row in reversed(list(enumerate(rows))))
        self._slots = self._first_result + len(rows)

    def _folded(self, node: Apply, first: Number, second: Number | None) -> Number:
        a, b = first.value, 0.0 if second is None else second.value
        try:
            value = node.operation.evaluate(a, b)[0]
        except (ArithmeticError, ValueError):
            value = math.nan
        if not abs(value) <= LARGEST_NUMBER:
            expected = f"constants that make a number up to {LARGEST_NUMBER:g}"
            raise refusal(self._text, node.at, expected=expected, found=node.operation.shown(a, b), code="out_of_range")
        return Number(value)

    def __len__(self) -> int:
        """How many operations are done at every point."""
        return len(self._rows)

    def evaluate(self, point: Sequence[float]) -> Evaluation | None:
        """Value and gradient at a point, in the order of `variables`; None where one of them, or anything on the way, is not finite."""
        values, results = [*point, *self._constants], []
        try:
            for function, a, b in self._forward:
                result = function(values[a], values[b])
                results.append(result)
                values.append(result[0])
        except (ArithmeticError, ValueError):
            return None
        # The sum is finite if all of them are, but for sums that overflow; it is three times as fast as looking at each.
        if not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):
            return None
        adjoints = [0.0] * self._slots
        adjoints[self._result] = 1.0
        for (slot, a, b), (_, along_a, along_b) in zip(self._backward, reversed(results), strict=True):
            adjoint = adjoints[slot]
            if adjoint:  # a branch that adds nothing to the value has no slope, however steep it is
                adjoints[a] += adjoint * along_a
                adjoints[b] += adjoint * along_b
        gradient = adjoints[: len(self.variables)]
        for slope in gradient:
            if not -LARGEST_SLOPE <= slope <= LARGEST_SLOPE:
                return None
        return Evaluation(values[self._result], gradient)

    def why_not(self, point: Sequence[float]) -> str:
        """Where `evaluate` answers None: the first operation without a finite value, or else without a finite slope, and its position."""
        values, steep = [*point, *self._constants], ""
        for row in self._rows:
            a, b = values[row.a], values[row.b]
            shown = f"{row.operation.shown(a, b)} at {where(self._text, row.at)}"
            try:
                value, *slopes = row.operation.evaluate(a, b)
            except (ArithmeticError, ValueError):
                value = math.nan
            if not math.isfinite(value):
                return f"{shown} has no finite value"
            wanted = [slope for slope, slot in zip(slopes, (row.a, row.b), strict=True) if not self._is_constant(slot)]
            if not all(map(math.isfinite, wanted)):
                steep = steep or f"{shown} has no finite slope"
            values.append(value)
        return steep or f"the slope is beyond {LARGEST_SLOPE:.3g}"

    def _is_constant(self, slot: int) -> bool:
        return len(self.variables) <= slot < self._first_result
