"""`sankofa cancel`, `pause`, `resume`, `stop`: what can be asked of a job."""

from __future__ import annotations

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, some_jobs, write_json
from sankofa.progress import summary


def request_command(action: str, help: str) -> click.Command:
    """The command that asks jobs for `action`."""

    @click.command(action, help=help + " With --json: the jobs as they are then, one per line.")
    @some_jobs
    @as_json
    @connected
    def command(client: Client, job_ids: tuple[str, ...], as_json: bool) -> None:
        for job_id in job_ids:
            job = client.request(job_id, action)
            write_json(job.document) if as_json else click.echo(summary(job))

    return command


cancel = request_command("cancel", "End JOBs and keep nothing of their work.")
pause = request_command("pause", "Let JOBs rest; `resume` goes on exactly where they were.")
resume = request_command("resume", "Let paused JOBs go on.")
stop = request_command("stop", "End JOBs and keep the best parameters so far as their result.")
