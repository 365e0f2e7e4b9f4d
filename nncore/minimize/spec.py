"""MinimizeSpec: what a user may write, with its defaults and limits, and what is refused of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from nncore.definition import Definition
from nncore.errors import InvalidSpec
from nncore.faults import Faults, did_you_mean, pointer, short
from nncore.minimize.parser import MAX_VARIABLES, parse
from nncore.minimize.tape import Evaluation, Tape
from nncore.minimize.tokens import LARGEST_NUMBER, where
from nncore.optimizers import LBFGS, Adam, OptimizerSpec

MAX_STEPS = 1_000_000
MAX_POINTS = 10_000

StartValue = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]


class MinimizeSpec(Definition):
    """An expression, where to start from, and how to go down (or up)."""

    expression: Annotated[str, Field(description="What is made small or large: (1 - x)**2 + 100*(y - x**2)**2, for example.")]
    start: Annotated[dict[str, StartValue], Field(description="A number for every variable of the expression.")]
    goal: Literal["minimize", "maximize"] = "minimize"
    optimizer: OptimizerSpec = Adam(learning_rate=0.05)
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS, description="After so many updates the search ends.")] = 1_000
    tolerance: Annotated[
        float, Field(ge=0, description="The search ends where the Euclidean norm of the gradient is no larger than this.")
    ] = 1e-6
    max_points: Annotated[
        int, Field(ge=2, le=MAX_POINTS, description="Points of the path that are kept; the first and the last always are.")
    ] = 1_000

    @field_validator("start", mode="before")
    @classmethod
    def _few_variables(cls, start: Any) -> Any:
        """Looked at before its items are: a fault for each of a million would take more memory than there is."""
        if isinstance(start, dict) and len(start) > MAX_VARIABLES:
            raise PydanticCustomError(
                "too_many_variables", "a start has at most {most} variables; got {got}", {"most": MAX_VARIABLES, "got": len(start)}
            )
        return start

    def resolved(self) -> Self:
        """The same spec with everything written in that its other fields decide. Raises InvalidSpec with every fault."""
        faults, optimizer = Faults(), self.optimizer
        try:
            self.objective()
        except InvalidSpec as refused:
            faults.extend(refused.faults)
        faults.extend(optimizer.faults_without_epochs(), "/optimizer")
        if isinstance(optimizer, LBFGS):
            faults.extend(optimizer.faults_of_line_search(), "/optimizer")
        try:
            optimizer = optimizer.resolved(self.steps)
        except InvalidSpec as refused:
            faults.extend(refused.faults, "/optimizer")
        if faults:
            raise InvalidSpec(faults.found)
        return self.model_copy(update={"optimizer": optimizer})

    def objective(self) -> tuple[Tape, list[float], Evaluation]:
        """The expression, the start in the order of its variables, and what it is worth there.

        Raises InvalidSpec with what is wrong with the expression, or else with everything that is wrong with the start. A start at which
        value or gradient is not finite is a fault, too: it would end the search before its first step.
        """
        expression = parse(self.expression)
        tape, faults = Tape(expression), Faults()
        known = _listed(tape.variables)
        for name, at in expression.variables.items():
            if name not in self.start:
                message = f"{name}, at {where(self.expression, at)} of the expression, has no start value; add one"
                faults.add(pointer("start", name), "missing_field", message, expected="a number", got="nothing")
        for name in self.start:
            if name not in expression.variables:
                hint = did_you_mean(name, expression.variables)
                message = f"the expression has no variable {short(name)}; its variables are {known}.{hint}".removesuffix(".")
                faults.add(pointer("start", name), "unknown_variable", message, expected=known, got=short(name))
        if faults:
            raise InvalidSpec(faults.found)
        start = [float(self.start[name]) for name in tape.variables]
        evaluation = tape.evaluate(start)
        if evaluation is None:
            reason = tape.why_not(start)
            message = f"the expression cannot be followed from this start: {reason}; start elsewhere"
            faults.add("/start", "undefined_at_start", message, expected="a finite value and gradient", got=reason)
            raise InvalidSpec(faults.found)
        return tape, start, evaluation


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"
