"""`sankofa logs`: what happened to a job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, one_job, write_json
from sankofa.events import Event
from sankofa.progress import measures

# Reports and progress come several times a second; `watch` draws them.
OFTEN = {"metrics", "progress"}
ENDS = {"succeeded", "failed", "stopped", "cancelled"}


@click.command()
@one_job
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until the job has ended.")
@click.option("--metrics", is_flag=True, help="Reports of the training, too.")
@as_json
@connected
def logs(client: Client, job_id: str, follow: bool, metrics: bool, as_json: bool) -> None:
    """List what happened to JOB, oldest first.

    Its states and why it changed them, workers that were lost, kernels that were compiled, changes of its name, tags, priority, deadline.

    With --json: one event per line.
    """
    job = client.job(job_id)
    events: Iterable[Event] = job.events() if follow else job.log()
    if metrics and not follow:
        events = with_reports([*events], [Event("metrics", report, report.get("at")) for report in job.metrics()])
    for event in events:
        if event.type in OFTEN and not (metrics and event.type == "metrics"):
            continue
        if as_json:
            write_json({"type": event.type, "at": event.at, "data": event.data})
        else:
            click.echo(f"{event.at or '':<27} {told(event)}")


def with_reports(events: Sequence[Event], reports: Sequence[Event]) -> list[Event]:
    """Both by their time. What a worker reported with the end of a job is no later than that, whatever the clocks say."""
    end = next((at for at, event in enumerate(events) if event.type == "state" and event.data.get("state") in ENDS), len(events))
    return [*sorted([*events[:end], *reports], key=lambda event: event.at or ""), *events[end:]]


def told(event: Event) -> str:
    """The event in words: what it is, then all it carries."""
    data = dict(event.data)
    if event.type == "metrics":
        return f"epoch {data['epoch']}, step {data['step']}  {measures(data)}"
    name = str(data.pop("state", "")) if event.type == "state" else event.type.replace("_", " ")
    carried = {key.replace("_", " "): value for key, value in data.items() if value is not None}
    parts = [f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in carried.items()]
    return name + ("  " + ", ".join(parts) if parts else "")
