"""`sankofa watch`: a job's progress until its end."""

from __future__ import annotations

import click

from sankofa.client import Client
from sankofa.commands.exits import end_of
from sankofa.commands.options import as_json, connected, one_job, timeout
from sankofa.progress import follow, summary


@click.command()
@one_job
@timeout
@as_json
@connected
def watch(client: Client, job_id: str, timeout_seconds: float | None, as_json: bool) -> int:
    """Wait for the end of JOB, drawing its curves. Ctrl-C ends the watching, not the job.

    The exit code says how it ended, as that of `wait`. Without a terminal: a line now and then.

    With --json: the job as it is now and after every change, one per line.
    """
    job = follow(client.job(job_id), timeout_seconds=timeout_seconds, as_json=as_json)
    if not as_json:
        click.echo(summary(job))
    return end_of(job.state)
