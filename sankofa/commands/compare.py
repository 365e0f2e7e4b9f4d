"""`sankofa compare`: jobs side by side."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, some_jobs, write_json
from sankofa.commands.tables import show_table
from sankofa.plot import chart, short

CHART_WIDTH, CHART_HEIGHT, LONGEST_VALUE = 100, 12, 40


@click.command()
@some_jobs
@as_json
@connected
def compare(client: Client, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Show JOBs side by side, and in what their specs differ.

    How good the best parameters of each are, what was told otherwise, and in a terminal their curves.
    With --json: as GET /v1/jobs/compare tells it, with the curves.
    """
    if len(set(job_ids)) < max(2, len(job_ids)):
        raise click.UsageError("expected two jobs or more to compare, each named once")
    found = client.compare(job_ids)
    if as_json:
        write_json(found)
        return
    jobs, curves = found["jobs"], {curve["job"]: curve["values"] for curve in found["curves"]}
    best = {job["job"]: _best(job, curves[job["job"]]) for job in jobs}
    measured = list(dict.fromkeys(name for each in best.values() for name in each))
    rows = []
    for job in jobs:
        numbers = [best[job["job"]].get(name) for name in measured]
        rows.append((job["job"], job["name"] or "", job["state"], *map(_number, numbers), f"{job['trained_seconds']:,.1f}"))
    show_table(("job", "name", "state", *(name.replace("_loss", "").replace("_", " ") for name in measured), "seconds"), rows)
    names = _names(jobs)
    if found["differences"]:
        click.echo()
        differing = [
            (each["pointer"].strip("/").replace("/", "."), *(_value(each["values"].get(job["job"])) for job in jobs))
            for each in found["differences"]
        ]
        show_table(("differs in", *(names[job["job"]] for job in jobs)), differing)
    console = Console(highlight=False)
    if console.is_terminal:
        click.echo()
        which = "validation_loss" if any("validation_loss" in values for values in curves.values()) else "loss"
        lines = {names[job]: _line(found["points"], values.get(which, [])) for job, values in curves.items()}
        for row in chart(lines, min(console.width, CHART_WIDTH), CHART_HEIGHT, logarithmic=True):
            console.print(row)


def _best(job: dict[str, Any], curves: dict[str, list[float | None]]) -> dict[str, float | None]:
    """The numbers of the best parameters; while there are none, those of the last report."""
    best = (job["result"] or {}).get("best")
    if best is None:
        return {name: values[-1] for name, values in curves.items() if values and name not in ("recent_loss", "learning_rate")}
    told = {"loss": best["loss"], "validation_loss": best["validation_loss"], **best["metrics"]}
    return {name: value for name, value in told.items() if isinstance(value, int | float)}


def _names(jobs: list[dict[str, Any]]) -> dict[str, str]:
    """What each job is called: by its name where no other has it, else by its id."""
    given = [job["name"] for job in jobs]
    return {job["job"]: job["name"] if job["name"] and given.count(job["name"]) == 1 else job["job"] for job in jobs}


def _line(points: list[float], values: list[float | None]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(points, values, strict=False) if y is not None]


def _number(number: float | None) -> str:
    return "" if number is None else short(number)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
