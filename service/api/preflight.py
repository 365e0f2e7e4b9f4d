"""/v1/jobs/preflight: what a job would be, before it is queued. Nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from nncore.auto import AUTO
from nncore.baseline import Baseline, baseline
from nncore.errors import InvalidData
from nncore.optimizers import LBFGS, OptimizerSpec
from nncore.rehearsal import Rehearsal, rehearse
from nncore.spec import ResolvedSpec
from nncore.trainer import program_of
from service.api.answers import answer, encode
from service.api.authentication import needs, tenant_id
from service.api.columns import first_rows
from service.api.context import Context, context
from service.api.examples import JOBS
from service.api.job_document import ParentDocument
from service.api.jobs import Asked, JobBody, resolved
from service.api.known_columns import fitted_of
from service.api.openapi import blueprint, json_answer, json_body, refusals
from service.api.parents import lineage
from service.settings import Settings
from service.store import forecast
from service.store.forecast import Outlook

resource = blueprint("preflight", "What a job would be, before it is queued.", "/v1/jobs")

SAMPLE_ROWS = 4096  # or as many as a step takes
MOST_SAMPLE_BYTES = 64 << 20
MOST_PROGRAM_BYTES = 256 << 20
OPERATIONS_PER_SECOND = 5e9  # of a worker, where nothing was measured; each parameter takes six for a row
OVERHEAD_SECONDS = 1e-5  # of a step
WRONG_GRADIENT = 1e-3  # beyond this, relative, it is no rounding; a kink may be
LARGE_INPUT = 10.0
UNEVEN_SHARE = 0.9


class BaselineDocument(BaseModel):
    """The trivial answer, the same for every row: the shares of the classes, or the mean target. It is what has to be beaten."""

    model_config = ConfigDict(extra="forbid", title="Baseline")

    predicts: str | list[float] = Field(description="The most frequent class of the training rows, or their mean target.")
    loss: float | None = Field(description="Of the validation rows where some are held out, else of the training rows.")
    metrics: dict[str, float | None]


class CheckedGradient(BaseModel):
    """Back-propagation against differences of the loss, in float64, on a few rows, at the initial parameters."""

    model_config = ConfigDict(extra="forbid")

    relative_error: float
    ok: bool


class Estimate(BaseModel):
    """How long it would take, if nothing else were queued meanwhile."""

    model_config = ConfigDict(extra="forbid")

    steps_per_second: float
    measured: bool = Field(description="Whether some steps were run to know; else it is counted from the size of the network.")
    workers: int = Field(description="Alive now.")
    jobs_ahead: int = Field(description="Queued jobs that would go first.")
    start_seconds: float | None = Field(
        description="Until a worker takes it: each job ahead is given what it has left, a turn at most, by one of the workers. Null: there "
        "is no worker."
    )
    training_seconds: float = Field(description="On a worker of its own.")
    finish_seconds: float | None = Field(description="Until it has ended, the workers being shared by all jobs there are now.")


class Warning(BaseModel):
    """Something that may be meant so, but is often a mistake."""

    model_config = ConfigDict(extra="forbid", title="PreflightWarning")

    code: str = Field(
        description="more_parameters_than_rows, large_inputs, uneven_classes, diverges, learning_rate, learning_rate_range, gradient, "
        "no_worker, ..."
    )
    pointer: str = Field(description="JSON pointer into the body.")
    message: str


class Preflight(BaseModel):
    """What a job would be."""

    model_config = ConfigDict(extra="forbid")

    spec: ResolvedSpec = Field(description="What would be trained. A seed that was not given is drawn anew for the job.")
    parent: ParentDocument | None
    parameters: int
    memory_bytes: int
    steps: int
    estimate: Estimate
    baseline: BaselineDocument
    gradient_check: CheckedGradient | None = Field(description="Null where the network is too large to be checked here.")
    warnings: list[Warning]


@resource.post(
    "/preflight",
    request_body=json_body(JobBody, JOBS),
    responses={
        200: json_answer(Preflight, "What the job would be."),
        **refusals(
            _400="The body is not JSON.",
            _404="There is no such dataset, and that is all that is wrong; or no such parent, or it kept nothing of that step.",
            _409="The parent has no parameters yet, or kept none.",
            _413="The body is larger than the server takes.",
            _415="The body is not application/json.",
            _422="Something in the spec is wrong: `errors` names every fault.",
        ),
    },
)
@needs("write")
def preflight_job() -> Response:
    """Say what a training would come to, without queueing it.

    The body is that of POST /v1/jobs, and refused for the same reasons. Some steps are run, for a third of a second, on the first rows
    of the data, and for as long a range test of the learning rate. At the first of its kind, its kernels are compiled, which takes some
    seconds.
    """
    here = context()
    asked = resolved(here, request.get_json())
    spec, sizes = asked.spec, asked.spec.sizes
    tried = _rehearsed(here, asked)
    found = baseline(spec, asked.column)
    estimate = estimated(spec, tried, forecast.outlook(here.store, tenant_id(), asked.body.priority), here.settings, _done(asked))
    error = tried.gradient_error if tried else None
    document = {
        "spec": spec.model_dump(mode="json"),
        "parent": lineage(asked.parent, spec, asked.exactly, kept=asked.kept) if asked.parent else None,
        "parameters": sizes.parameters,
        "memory_bytes": sizes.memory_bytes,
        "steps": sizes.steps,
        "estimate": estimate,
        "baseline": vars(found),
        "gradient_check": None if error is None else {"relative_error": error, "ok": error <= WRONG_GRADIENT},
        "warnings": [
            {"code": code, "pointer": pointer, "message": message}
            for code, pointer, message in warnings(spec, tried, found, estimate["workers"])
        ],
    }
    return answer(encode(document))


def estimated(spec: ResolvedSpec, tried: Rehearsal | None, found: Outlook, settings: Settings, done: int) -> dict[str, Any]:
    """How long a job of this spec would take, `done` of its steps being there already."""
    rate = tried.steps_per_second if tried else None
    rows = spec.batch_size * spec.accumulate
    counted = 1 / (OVERHEAD_SECONDS + 6 * spec.sizes.parameters * rows / OPERATIONS_PER_SECOND)
    training_seconds = (spec.sizes.steps - done) / (rate or counted)
    if spec.max_seconds is not None:
        training_seconds = min(training_seconds, spec.max_seconds)
    start = finish = None
    if found.workers:
        turns = sum(min(settings.turn_seconds, left if left is not None else settings.turn_seconds) for left in found.ahead)
        start = turns / found.workers + (settings.newcomer_seconds if found.running >= found.workers else 0.0)
        finish = start + training_seconds * max(1.0, (found.running + len(found.ahead) + 1) / found.workers)
    return {
        "steps_per_second": round(rate or counted, 3),
        "measured": rate is not None,
        "workers": found.workers,
        "jobs_ahead": len(found.ahead),
        "start_seconds": None if start is None else round(start, 6),
        "training_seconds": round(training_seconds, 6),
        "finish_seconds": None if finish is None else round(finish, 6),
    }


def warnings(spec: ResolvedSpec, tried: Rehearsal | None, found: Baseline, workers: int) -> Iterator[tuple[str, str, str]]:
    """(code, pointer, message) of everything that may be a mistake."""
    sizes = spec.sizes
    if sizes.parameters > sizes.training_rows:
        message = f"{sizes.parameters:,} parameters are fitted to {sizes.training_rows:,} rows: they can be learnt by heart"
        yield (
            "more_parameters_than_rows",
            "/network",
            f"{message}. Hold rows out (validation), take fewer units, or add {_restraints(spec.optimizer)}.",
        )
    share = found.metrics.get("accuracy")
    if share is not None and share >= UNEVEN_SHARE:
        message = f"{share:.1%} of the rows are {found.predicts}: an accuracy below that is worse than no network"
        yield "uneven_classes", "/metrics", f'{message}. Look at f1_macro, or balance the classes: "class_weights": "balanced" in the loss.'
    if tried is not None:
        if tried.largest_input > LARGE_INPUT and spec.network.layers[0].type != "embedding":
            message = f"inputs reach {tried.largest_input:,.4g}, and networks learn best from numbers around 1"
            yield "large_inputs", "/preprocess", f'{message}. Add {{"type": "standardize"}} to preprocess.'
        if tried.diverged:
            message = f"loss or gradient left the finite numbers after {tried.steps:,} steps"
            yield "diverges", "/optimizer/learning_rate", f"{message}. Lower the learning rate, or normalise inputs and targets."
        elif tried.first_loss is not None and tried.last_loss is not None and _grows(spec, tried.first_loss, tried.last_loss):
            message = f"the loss went from {tried.first_loss:.4g} to {tried.last_loss:.4g} in {tried.steps:,} steps"
            yield "learning_rate", "/optimizer/learning_rate", f"{message}. Lower the learning rate."
        elif (too_large := _too_large(spec, tried)) is not None:
            message = (
                f"in a range test on some rows the loss went up from a rate of {too_large:.2g} on, and {spec.optimizer.rate:g} is no less"
            )
            yield "learning_rate_range", "/optimizer/learning_rate", f'{message}. Lower the learning rate, or set it to "auto".'
        if tried.gradient_error is not None and tried.gradient_error > WRONG_GRADIENT:
            message = f"gradients and differences of the loss are {tried.gradient_error:.2g} apart, relative to the largest"
            yield "gradient", "/network", f"{message}. Inputs at a kink (relu at 0) do that; of many it may be a defect of ours."
    if not workers:
        yield "no_worker", "", "No worker is alive: the job would wait. Start one: sankofa worker."


def _restraints(optimizer: OptimizerSpec) -> str:
    """What keeps weights small under this optimizer, by the names that it takes."""
    decay = "weight_decay" if "weight_decay" in type(optimizer).model_fields else "l2"
    return f"{decay} to the optimizer" if isinstance(optimizer, LBFGS) else f"dropout, or {decay} to the optimizer"


def _too_large(spec: ResolvedSpec, tried: Rehearsal) -> float | None:
    """The rate from which on the loss went up in a range test, where the spec's is no less."""
    if tried.rates is None or spec.optimizer.maximize or spec.optimizer.learning_rate == AUTO:
        return None
    found = tried.rates.too_large
    return found if found is not None and spec.optimizer.rate >= found else None


def _grows(spec: ResolvedSpec, first: float, last: float) -> bool:
    return last > 2 * abs(first) + 1e-9 and not spec.optimizer.maximize


def _done(asked: Asked) -> int:
    return asked.parent.state[0] if asked.parent and asked.exactly and asked.parent.state else 0


def _rehearsed(here: Context, asked: Asked) -> Rehearsal | None:
    """What a moment of training showed; None where it would take too much of this process, or some rows alone cannot be used."""
    spec, rows = asked.spec, min(asked.dataset.rows, max(SAMPLE_ROWS, asked.spec.batch_size * asked.spec.accumulate))
    itemsize = 8 if spec.dtype == "float64" else 4
    if (
        program_of(spec).memory_bytes(spec.dtype) > MOST_PROGRAM_BYTES
        or rows * int(np.prod(spec.input_shape)) * itemsize > MOST_SAMPLE_BYTES
    ):
        return None
    names = {*spec.inputs, spec.target, *([] if spec.sample_weight is None else [spec.sample_weight])}
    try:
        kept = fitted_of(asked.parent) if asked.parent and asked.kept else None
        return rehearse(spec, first_rows(here.store, asked.dataset, names, rows), kept)
    except InvalidData:
        return None
