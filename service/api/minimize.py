"""/v1/minimize: gradient descent on an expression, looked at point by point. Nothing is stored."""

from __future__ import annotations

import time
from typing import Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from nncore.minimize import Minimizer, MinimizeSpec
from service.api.answers import answer, encode
from service.api.authentication import needs
from service.api.openapi import blueprint, json_answer, json_body, refusals

resource = blueprint("minimize", "Minima and maxima of expressions.", "/v1/minimize")

MOST_SECONDS = 5.0
CALL_SECONDS = 0.1
EXAMPLES = {
    "rosenbrock": (
        "A narrow, bent valley; its lowest point is (1, 1)",
        {"expression": "(1 - x)**2 + 100*(y - x**2)**2", "start": {"x": -1.2, "y": 1.0}, "steps": 5000, "max_points": 100},
    ),
    "hill": ("The top of a hill", {"expression": "exp(-(x - 3)**2)", "start": {"x": 2.0}, "goal": "maximize"}),
}


class Point(BaseModel):
    """Where the search was."""

    model_config = ConfigDict(extra="forbid", title="PathPoint")

    step: int
    value: float
    variables: dict[str, float]


class Minimized(BaseModel):
    """Where the search ended, and how it went there."""

    model_config = ConfigDict(extra="forbid")

    spec: MinimizeSpec = Field(description="What was searched, with every default written in.")
    stopped_because: Literal["converged", "steps", "diverged", "time"] = Field(
        description="converged: the gradient is within the tolerance. steps: all are done. diverged: the next point would have had no "
        "finite value or gradient; all here is of the last that had. time: the server gives a search no more than 5 seconds."
    )
    step: int
    value: float
    variables: dict[str, float]
    gradient: dict[str, float]
    gradient_norm: float
    best: Point = Field(description="The lowest (or highest) point of all, the earliest of equals.")
    path: list[Point] = Field(description="At most `max_points`, the first and the last among them.")


@resource.post(
    "",
    request_body=json_body(MinimizeSpec, EXAMPLES),
    responses={
        200: json_answer(Minimized, "Where the search ended, and its path."),
        **refusals(
            _400="The body is not JSON.",
            _413="The body is larger than the server takes.",
            _415="The body is not application/json.",
            _422="Something is wrong with the search, or with the expression, of which the place is named: `errors` names every fault.",
        ),
    },
)
@needs("read")
def minimize_expression(body: MinimizeSpec) -> Response:
    """Search the lowest, or highest, point of an expression of named variables, step by step along its gradient.

    The expression knows + - * / **, parentheses, numbers, the variables that `start` names, and the functions sin, cos, tan, exp,
    log, sqrt, abs, tanh, sigmoid, relu, pow, min and max. It is never run as a program. The same request always goes the same way,
    but where the time ends it.
    """
    search, ends_at = Minimizer(body), time.monotonic() + MOST_SECONDS
    for _ in search.run(CALL_SECONDS):
        if time.monotonic() >= ends_at:
            break
    found = search.result().to_json()
    document = {"spec": search.spec.model_dump(mode="json"), **found, "stopped_because": found["stopped_because"] or "time"}
    return answer(encode(document))
