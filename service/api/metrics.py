"""/v1/jobs/{id}/metrics: what a job reported, epoch after epoch, and every so many steps where that was asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, chosen, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.job_document import values
from service.api.openapi import answer as described
from service.api.openapi import blueprint, json_answer, refusals
from service.api.parameters import JobPath, Parameters
from service.store import jobs
from service.store import metrics as stored
from service.store.models import JobMetric

CSV = "text/csv"
KINDS = {"json": "application/json", "csv": CSV}
FIXED = ("step", "epoch", "epoch_ended", "loss", "recent_loss", "validation_loss", "learning_rate", "at")
resource = blueprint("metrics", "What jobs report.", "/v1/jobs")


NUMBERS = ("gradient_norm", "weight_norm", "update_ratio")  # of the whole network; a layer has a dead_share, too


class LayerDiagnostics(BaseModel):
    """What goes on in a layer. A number it does not have, or that is not finite, is null."""

    model_config = ConfigDict(extra="forbid")

    layer: str = Field(description="JSON pointer into the network: /layers/0.")
    type: str
    gradient_norm: float | None
    weight_norm: float | None
    update_ratio: float | None
    dead_share: float | None = Field(
        description="Of a relu: which part of its units answers 0 for every row of an evaluation batch. In items of several dimensions "
        "units are the channels, along the first; in a recurrent layer they lie along the last."
    )


class DiagnosticsDocument(BaseModel):
    """What goes on in the network, seen at the report's step. All norms are Euclidean."""

    model_config = ConfigDict(extra="forbid", title="Diagnostics")

    gradient_norm: float | None = Field(description="Of the gradient of loss and penalties, before it is clipped.")
    weight_norm: float | None = Field(description="Of weights and biases, after the step.")
    update_ratio: float | None = Field(description="By how much the step moved them: the norm of the move, divided by theirs before it.")
    layers: list[LayerDiagnostics] = Field(description="Those that have parameters or a relu, inner ones too.")


class MetricDocument(BaseModel):
    """A report of a job."""

    model_config = ConfigDict(extra="forbid", title="Metric")

    step: int
    epoch: int = Field(description="Epochs completed.")
    epoch_ended: bool = Field(
        description="Whether it is the report of an epoch's end; else one of those that are made every so many steps."
    )
    loss: float | None = Field(description="Mean training loss of the epoch: of the one that ended, or of the present one so far.")
    recent_loss: float | None = Field(
        description="Mean training loss of the steps since the last report that has one: of those every `report_every_steps` steps."
    )
    validation_loss: float | None
    metrics: dict[str, float | None]
    learning_rate: float | None = Field(description="Of the last step.")
    diagnostics: DiagnosticsDocument | None = Field(description="Where the spec asks for `diagnostics`.")
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
        None,
        ge=2,
        le=10_000,
        description="Of all reports no more than this, evenly spaced, with first and last; some of either kind where there are two.",
    )
    format: Literal["json", "csv"] | None = Field(None, description="Goes before `Accept`.")


LIST = json_answer(MetricList, "Reports; as CSV a line for each, under a header.")
LIST["content"] |= described({CSV: {"schema": {"type": "string"}, "example": "step,epoch,epoch_ended,loss\r\n100,1,True,0.25\r\n"}}, "")[
    "content"
]


@resource.get(
    "/<job_id>/metrics",
    responses={200: LIST, **refusals(_404="There is no such job.", _406="Neither JSON nor CSV is accepted.")},
)
@needs("read")
def list_job_metrics(path: JobPath, query: MetricsQuery) -> Response:
    """List what a job reported, in the order of its steps.

    With `max_points` the answer is one page, of all that was reported beyond `after_step`, thinned. CSV is asked for by `format` or
    `Accept`: the members of a report, each metric that is a number, and diagnostics: gradient_norm, ..., /layers/0/gradient_norm, ...
    """
    store = context().store
    jobs.row(store, tenant_id(), path.job_id)
    kind = chosen(query.format, KINDS)
    after = query.after_step if query.cursor is None else int(query.cursor)
    cursor = None
    if query.max_points is None:
        found = stored.after(store, path.job_id, after, query.limit + 1)
        shown = found[: query.limit]
        cursor = str(shown[-1].step) if len(found) > query.limit else None
    else:
        shown = stored.thinned(store, path.job_id, query.max_points, after)
    documents = [document(metric) for metric in shown]
    response = Response(as_csv(documents), content_type=f"{CSV}; charset=utf-8") if kind == "csv" else None
    response = response or answer(encode({"data": documents, "next_cursor": cursor}))
    response.headers["Vary"] = "Accept"
    return response


def as_csv(documents: Sequence[dict[str, Any]]) -> str:
    """A line for each report; what it does not tell is empty."""
    names = list(dict.fromkeys(name for each in documents for name, value in each["metrics"].items() if not isinstance(value, list | dict)))
    written = io.StringIO()
    lines = csv.writer(written)
    told = [_flat(each["diagnostics"]) for each in documents]
    columns = list(dict.fromkeys(name for each in told for name in each))
    lines.writerow([*FIXED, *names, *columns])
    lines.writerows(
        [*(each[name] for name in FIXED), *(each["metrics"].get(name) for name in names), *map(flat.get, columns)]
        for each, flat in zip(documents, told, strict=True)
    )
    return written.getvalue()


def _flat(diagnostics: dict[str, Any] | None) -> dict[str, float | None]:
    """A name for each number; those of a layer begin with its pointer."""
    if diagnostics is None:
        return {}
    layers = {f"{each['layer']}/{name}": each[name] for each in diagnostics["layers"] for name in (*NUMBERS, "dead_share")}
    return {name: diagnostics[name] for name in NUMBERS} | layers


def document(metric: JobMetric) -> dict[str, Any]:
    """The report as the API shows it."""
    return {
        "step": metric.step,
        "epoch": metric.epoch,
        "epoch_ended": metric.values.get("epoch_ended", True),
        **values(metric.values),
        "recent_loss": metric.values.get("recent_loss"),
        "learning_rate": metric.values.get("learning_rate"),
        "diagnostics": metric.values.get("diagnostics"),
        "at": iso_time(metric.at),
    }
