"""/v1/jobs/{id}/metrics: what a job reported, epoch after epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.job_document import values
from service.api.openapi import answer as described
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath, Parameters
from service.api.problems import Refusal
from service.store import jobs
from service.store import metrics as stored
from service.store.models import JobMetric

CSV = "text/csv"
KINDS = {"json": "application/json", "csv": CSV}
FIXED = ("step", "epoch", "loss", "validation_loss", "learning_rate", "at")
MOST_REPORTS = 1_000_000  # of a job; a worker writes some thousands
resource = blueprint("metrics", "What jobs report.", "/v1/jobs")


class MetricDocument(BaseModel):
    """A report of a job."""

    model_config = ConfigDict(extra="forbid", title="Metric")

    step: int
    epoch: int
    loss: float | None
    validation_loss: float | None
    metrics: dict[str, float | None]
    learning_rate: float | None = Field(description="Of the epoch's last step.")
    at: str


class MetricList(BaseModel):
    """Reports, first to last."""

    model_config = ConfigDict(extra="forbid")

    data: list[MetricDocument]
    next_cursor: str | None


class MetricsQuery(Parameters):
    after_step: int = Field(-1, ge=-1, le=2**62, description="Only reports beyond this step.")
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before; goes before `after_step`.")
    limit: int = Field(1000, ge=1, le=10_000, description="Most reports of the page.")
    max_points: int | None = Field(
        None, ge=2, le=10_000, description="Of all reports no more than this, evenly spaced, with first and last."
    )
    format: Literal["json", "csv"] | None = Field(None, description="Goes before `Accept`.")


LIST = json_answer(MetricList, "Reports; as CSV a line for each, under a header.")
LIST["content"] |= described({CSV: {"schema": {"type": "string"}, "example": "step,epoch,loss\r\n100,1,0.25\r\n"}}, "")["content"]


@resource.get(
    "/<job_id>/metrics",
    responses={200: LIST, **refusals(_404="There is no such job.", _406="Neither JSON nor CSV is accepted.")},
)
@needs("read")
def list_job_metrics(path: JobPath, query: MetricsQuery) -> Response:
    """List what a job reported, in the order of its steps.

    With `max_points` the answer is one page, of all that was reported beyond `after_step`, thinned. CSV is asked for by `format` or
    `Accept`: step, epoch, loss, validation_loss, learning_rate, at, and each metric that is a number.
    """
    store = context().store
    jobs.row(store, tenant_id(), path.job_id)
    kind = _kind(query.format)
    after = query.after_step if query.cursor is None else int(query.cursor)
    cursor = None
    if query.max_points is None:
        found = stored.after(store, path.job_id, after, query.limit + 1)
        shown = found[: query.limit]
        cursor = str(shown[-1].step) if len(found) > query.limit else None
    else:
        shown = thinned(stored.after(store, path.job_id, after, MOST_REPORTS), query.max_points)
    documents = [document(metric) for metric in shown]
    response = Response(as_csv(documents), content_type=f"{CSV}; charset=utf-8") if kind == CSV else None
    response = response or answer(encode({"data": documents, "next_cursor": cursor}))
    response.headers["Vary"] = "Accept"
    return response


def thinned(found: Sequence[JobMetric], most: int) -> Sequence[JobMetric]:
    """At most so many of them, evenly spaced, the first and the last among them."""
    if len(found) <= most:
        return found
    return [found[number * (len(found) - 1) // (most - 1)] for number in range(most)]


def as_csv(documents: Sequence[dict[str, Any]]) -> str:
    """A line for each report; what it does not tell is empty."""
    names = list(dict.fromkeys(name for each in documents for name, value in each["metrics"].items() if not isinstance(value, list | dict)))
    written = io.StringIO()
    lines = csv.writer(written)
    lines.writerow([*FIXED, *names])
    lines.writerows([*(each[name] for name in FIXED), *(each["metrics"].get(name) for name in names)] for each in documents)
    return written.getvalue()


def _kind(asked: str | None) -> str:
    if asked is not None:
        return KINDS[asked]
    found = request.accept_mimetypes.best_match(list(KINDS.values())) if request.accept_mimetypes else KINDS["json"]
    if found is None:
        available = list(KINDS.values())
        raise Refusal(406, "not_acceptable", f"There is {' and '.join(available)}.", available=available)
    return found


def document(metric: JobMetric) -> dict[str, Any]:
    """The report as the API shows it."""
    return {
        "step": metric.step,
        "epoch": metric.epoch,
        **values(metric.values),
        "learning_rate": metric.values.get("learning_rate"),
        "at": iso_time(metric.at),
    }
