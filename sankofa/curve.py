"""How a job learns: its loss and its metrics, report after report, to be read, drawn in a terminal or shown in a notebook."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sankofa.errors import InvalidInput

if TYPE_CHECKING:
    import plotly.graph_objects
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

    from sankofa.jobs import Job

PLOTLY = "application/vnd.plotly.v1+json"
LOSSES = {"loss": "loss", "validation": "validation_loss"}
CHART_HEIGHT = 10
LEAST_WIDTH, WIDTH = 20, 78
# Side by side where each has so much room; else below each other.
LEAST_BESIDE = 36
# A curve that is watched is brought up to date no more often than this.
LEAST_SECONDS = 0.25
# Of a curve that is watched; no screen shows more.
MOST_POINTS = 1000


@dataclass(frozen=True)
class Curve:
    """Numbers of a job's reports, one of each per report; None where a report has none.

    str() draws it, and so does a notebook that it is shown in; `figure()` is it in plotly; `pandas.DataFrame(curve.columns())` a table.
    """

    step: list[int] = field(default_factory=list)
    epoch: list[int] = field(default_factory=list)
    loss: list[float | None] = field(default_factory=list)
    validation_loss: list[float | None] = field(default_factory=list)
    metrics: dict[str, list[float | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, reports: Sequence[Mapping[str, Any]]) -> Curve:
        """The curve of reports as `Job.metrics` gives them; metrics that are no single numbers are left out."""
        names = dict.fromkeys(name for report in reports for name, value in report["metrics"].items() if isinstance(value, int | float))
        return cls(
            [report["step"] for report in reports],
            [report["epoch"] for report in reports],
            [report["loss"] for report in reports],
            [report["validation_loss"] for report in reports],
            {name: [report["metrics"].get(name) for report in reports] for name in names},
        )

    def __len__(self) -> int:
        return len(self.step)

    def columns(self) -> dict[str, list[Any]]:
        """Everything by name, metrics by theirs."""
        return {"step": self.step, "epoch": self.epoch, "loss": self.loss, "validation_loss": self.validation_loss, **self.metrics}

    def __str__(self) -> str:
        return "\n".join(row.plain.rstrip() for row in self._rows(WIDTH))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._rows(min(options.max_width, 2 * WIDTH))

    def figure(self) -> plotly.graph_objects.Figure:
        """The curve as a plotly figure. Raises InvalidInput where plotly is not installed."""
        try:
            from plotly.graph_objects import Figure
        except ImportError as error:
            raise InvalidInput("curve.figure() needs plotly: pip install 'sankofa[notebook]'") from error
        return Figure(self.plotly())

    def plotly(self) -> dict[str, Any]:
        """The same as plotly's JSON, for which plotly need not be installed: data and layout."""
        charts, (axis, _) = self._charts(), self._axis()
        data = [
            {
                "type": "scatter",
                "mode": "lines" if len(points) > 1 else "markers",
                "name": name,
                "x": [x for x, _ in points],
                "y": [y for _, y in points],
                "xaxis": f"x{place}",
                "yaxis": f"y{place}",
            }
            for place, lines in zip(("", "2"), charts, strict=False)
            for name, points in lines.items()
        ]
        axes = {"xaxis": {"title": {"text": axis}}, "yaxis": {"title": {"text": "loss"}}}
        if len(charts) > 1:
            axes |= {"xaxis2": {"title": {"text": axis}}, "yaxis2": {"title": {"text": "metrics"}}}
        layout = {"height": 360, "margin": {"l": 60, "r": 20, "t": 30, "b": 50}, "hovermode": "x unified", "uirevision": "sankofa", **axes}
        return {"data": data, "layout": layout | {"grid": {"rows": 1, "columns": len(charts), "pattern": "independent"}}}

    def bundle(self, caption: str = "") -> dict[str, Any]:
        """What a notebook shows: a chart where it knows plotly's, else the drawing. caption: a line in front of it."""
        figure = self.plotly()
        figure["layout"]["title"] = {"text": caption, "font": {"size": 14}}
        figure["layout"]["margin"]["t"] += 20 if caption else 0
        # JSON knows no NaN, which plotly would not draw either.
        chart = json.loads(json.dumps(figure), parse_constant=lambda _: None)
        return {PLOTLY: chart, "text/plain": "\n".join(part for part in (caption, str(self)) if part)}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return self.bundle()

    def _axis(self) -> tuple[str, list[int]]:
        """What is drawn along: epochs, or steps where an epoch has several reports."""
        return ("epoch", self.epoch) if len(set(self.epoch)) == len(self.epoch) else ("step", self.step)

    def _charts(self) -> list[dict[str, list[tuple[float, float]]]]:
        """The lines of each chart, by name: of the losses, and of the metrics if there are any."""
        losses, (_, along) = {name: getattr(self, field) for name, field in LOSSES.items()}, self._axis()
        found: list[dict[str, list[tuple[float, float]]]] = []
        for lines in (losses, self.metrics):
            points = {
                name.replace("_", " "): [(x, value) for x, value in zip(along, values, strict=True) if value is not None]
                for name, values in lines.items()
            }
            found.append({name: list(each) for name, each in points.items() if each})
        return found if found[1] else found[:1]

    def _rows(self, width: int) -> list[Text]:
        from sankofa.plot import beside, chart

        charts, width = self._charts(), max(LEAST_WIDTH, width)
        together = len(charts) > 1 and width >= 2 * LEAST_BESIDE
        each = width // 2 if together else width
        drawn = [chart(lines, each - 2 * together, CHART_HEIGHT, logarithmic=number == 0) for number, lines in enumerate(charts)]
        return beside(drawn[0], drawn[1], each) if together else [row for rows in drawn for row in rows]


class Watched:
    """The curve of a job that is looked at again and again: only what is new is fetched, and not too often."""

    def __init__(self) -> None:
        self._reports: list[dict[str, Any]] = []
        self._fetched_at = float("-inf")
        self.curve = Curve()

    def update(self, job: Job) -> bool:
        """Bring the curve up to date if the job has gone on; whether it is another than before."""
        seen, now = self._reports[-1]["step"] if self._reports else -1, time.monotonic()
        if (job.progress.get("step") or 0) <= max(seen, 0) or (now - self._fetched_at < LEAST_SECONDS and not job.terminal):
            return False
        self._fetched_at = now
        new = job.metrics(seen, MOST_POINTS)
        self._reports += new
        if len(self._reports) > 2 * MOST_POINTS:
            del self._reports[1:-1:2]
        self.curve = Curve.of(self._reports)
        return bool(new)
