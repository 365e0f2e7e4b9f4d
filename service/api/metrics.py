"""/v1/jobs/{id}/metrics: what a job reported, epoch after epoch."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.job_document import values
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath, Parameters
from service.store import jobs
from service.store import metrics as stored
from service.store.models import JobMetric

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


@resource.get("/<job_id>/metrics", responses={200: json_answer(MetricList, "Reports."), **refusals(_404="There is no such job.")})
@needs("read")
def list_job_metrics(path: JobPath, query: MetricsQuery) -> Response:
    """List what a job reported, in the order of its steps."""
    store = context().store
    jobs.row(store, tenant_id(), path.job_id)
    after = query.after_step if query.cursor is None else int(query.cursor)
    found = stored.after(store, path.job_id, after, query.limit + 1)
    shown = found[: query.limit]
    cursor = str(shown[-1].step) if len(found) > query.limit else None
    return answer(encode({"data": [document(metric) for metric in shown], "next_cursor": cursor}))


def document(metric: JobMetric) -> dict[str, Any]:
    """The report as the API shows it."""
    return {
        "step": metric.step,
        "epoch": metric.epoch,
        **values(metric.values),
        "learning_rate": metric.values.get("learning_rate"),
        "at": iso_time(metric.at),
    }
