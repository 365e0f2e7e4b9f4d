"""`sankofa logs`: what happened to a job."""

from __future__ import annotations

import json
from collections.abc import Iterable

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, one_job, write_json
from sankofa.events import Event
from sankofa.progress import measures

# Reports and progress come several times a second; `watch` draws them.
OFTEN = {"metrics", "progress"}


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
        reports = (Event("metrics", report, report.get("at")) for report in job.metrics())
        events = sorted([*events, *reports], key=lambda event: event.at or "")
    for event in events:
        if event.type in OFTEN and not (metrics and event.type == "metrics"):
            continue
        if as_json:
            write_json({"type": event.type, "at": event.at, "data": event.data})
        else:
            click.echo(f"{event.at or '':<27} {told(event)}")


def told(event: Event) -> str:
    """The event in words: what it is, then all it carries."""
    data = dict(event.data)
    if event.type == "metrics":
        return f"epoch {data['epoch']}, step {data['step']}  {measures(data)}"
    name = str(data.pop("state", "")) if event.type == "state" else event.type.replace("_", " ")
    carried = {key.replace("_", " "): value for key, value in data.items() if value is not None}
    parts = [f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in carried.items()]
    return name + ("  " + ", ".join(parts) if parts else "")
