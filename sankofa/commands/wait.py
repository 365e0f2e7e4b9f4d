"""`sankofa wait`: for scripts, the end of jobs as an exit code."""

from __future__ import annotations

import time

import click

from sankofa.client import Client
from sankofa.commands.exits import Exit, end_of
from sankofa.commands.options import as_json, connected, some_jobs, timeout, write_json
from sankofa.progress import summary


@click.command()
@some_jobs
@timeout
@as_json
@connected
def wait(client: Client, job_ids: tuple[str, ...], timeout_seconds: float | None, as_json: bool) -> int:
    """Wait in silence for all JOBs; the exit code says how they end.

    \b
    Exit codes: 0 all succeeded; else that of the first that did not:
      1 failed   7 cancelled   8 stopped   124 --timeout is over

    With --json: each job as it ended, one per line.
    """
    ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    code = Exit.DONE
    for job_id in job_ids:
        job = client.job(job_id)
        job.wait(None if ends_at is None else max(0.0, ends_at - time.monotonic()), check=False)
        write_json(job.document) if as_json else click.echo(summary(job))
        code = code or end_of(job.state)
    return code
