"""`sankofa jobs`: the jobs of the service, or some of them in detail."""

from __future__ import annotations

import itertools

import click
from rich.console import Console
from rich.table import Table

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, write_json
from sankofa.progress import measures, summary


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[JOB]...")
@click.option("--state", help="Only those in this state: queued, running, paused, succeeded, ...")
@click.option("--name", help="Only those of this name.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Only those with this tag; may be told several times.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
@as_json
@connected
def jobs(
    client: Client, job_ids: tuple[str, ...], state: str | None, name: str | None, tags: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """List jobs, newest first; or show the JOBs named. With --json: one job per line."""
    if job_ids:
        for job_id in job_ids:
            job = client.job(job_id)
            write_json(job.document) if as_json else click.echo(summary(job))
        return
    if unread := [tag for tag in tags if "=" not in tag]:
        raise click.UsageError(f"--tag: expected NAME=VALUE, got {unread[0]}")
    wanted = {tag: value for tag, _, value in (each.partition("=") for each in tags)}
    found = itertools.islice(client.jobs(state, name=name, tags=wanted), limit)
    if as_json:
        for job in found:
            write_json(job.document)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("job", "name", "state", "done", "", "created"):
        table.add_column(column, no_wrap=column == "job", overflow="fold")
    for job in found:
        progress = job.progress
        table.add_row(job.id, job.name or "", job.state, f"{job.fraction:.0%}", measures(progress), str(job.document.get("created_at", "")))
    if table.row_count == 0:
        click.echo(
            "no jobs" + (f" in state {state}" if state else " like that" if name or tags else "") + "; `sankofa train` queues one", err=True
        )
        return
    # A width that breaks no id where there is no terminal to measure.
    console = Console(highlight=False)
    console.print(table) if console.is_terminal else Console(highlight=False, width=200).print(table)
