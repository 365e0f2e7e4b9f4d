"""`sankofa cancel`, `pause`, `resume`, `stop`: what can be asked of jobs, those named or all for which something holds."""

from __future__ import annotations

import sys
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.completion import job_ids as complete_jobs
from sankofa.commands.filters import conditions, filtered
from sankofa.commands.options import as_json, connected, write_json
from sankofa.progress import summary

OF_MANY = """With options in place of JOBs: every job for which all that is told holds.

On a terminal you are asked first; a script says --yes. With --json then: the ids of those that it changed, one per line."""


def request_command(action: str, help: str) -> click.Command:
    """The command that asks jobs for `action`."""

    @click.command(action, help=f"{help} With --json: the jobs as they are then, one per line.\n\n{OF_MANY}")
    @click.argument("job_ids", nargs=-1, metavar="[JOB]...", shell_complete=complete_jobs)
    @filtered
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @as_json
    @connected
    def command(client: Client, /, job_ids: tuple[str, ...], yes: bool, as_json: bool, **told: Any) -> None:
        wanted = conditions(**told)
        if bool(job_ids) == bool(wanted):
            both = "JOBs and conditions: give the one or the other" if wanted else "no JOB, and no condition as --tag or --state"
            raise click.UsageError(f"{both}; `sankofa {action} --help` lists them")
        if wanted:
            if yes or _agreed(client, action, wanted):
                _ask_all(client, action, wanted, as_json)
            return
        for job_id in job_ids:
            job = client.request(job_id, action)
            write_json(job.document) if as_json else click.echo(summary(job))

    return command


def _ask_all(client: Client, action: str, wanted: dict[str, Any], as_json: bool) -> None:
    changed = client.request_all(action, **wanted)
    for job_id in changed:
        write_json({"id": job_id}) if as_json else click.echo(job_id)
    click.echo(f"{len(changed):,} job{'' if len(changed) == 1 else 's'} asked to {action}", err=True)


def _agreed(client: Client, action: str, wanted: dict[str, Any]) -> bool:
    """Whether a person agrees to it, who is told how many jobs it would change. Raises click.UsageError where there is none to ask."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"there is no terminal to ask on; --yes says that all these jobs are to {action}")
    found = [job for job in client.jobs(**wanted) if action in job.allowed_actions]
    if not found:
        click.echo(f"no job like that can {action}", err=True)
        return False
    named = ", ".join(f"{job.id}{f' ({job.name})' if job.name else ''}" for job in found[:3])
    some = f"{len(found):,} jobs ({named}{', ...' if len(found) > 3 else ''})" if len(found) > 1 else named
    return click.confirm(f"{action} {some}?", err=True)


cancel = request_command("cancel", "End JOBs and keep nothing of their work.")
pause = request_command("pause", "Let JOBs rest; `resume` goes on exactly where they were.")
resume = request_command("resume", "Let paused JOBs go on.")
stop = request_command("stop", "End JOBs and keep the best parameters so far as their result.")
