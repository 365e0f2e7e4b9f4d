"""`sankofa jobs`: the jobs of the service, some of them in detail, where their time went, and the end of them."""

from __future__ import annotations

import itertools
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.table import Table

from sankofa.client import Client
from sankofa.commands.completion import job_ids as complete_jobs
from sankofa.commands.filters import NONE_OR_MOMENT, conditions, filtered, tags_of
from sankofa.commands.options import as_json, connected, one_job, some_jobs, write_json
from sankofa.commands.tables import show_table
from sankofa.progress import measures, summary
from sankofa.sending import size


class Listing(click.Group):
    """Commands of which `list` is meant where none is named: `sankofa jobs`, `sankofa jobs JOB`, `sankofa jobs --state running`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        to_complete = ctx.resilient_parsing and not args  # what is meant is not known yet
        if not to_complete and (not args or args[0] not in {*self.commands, *ctx.help_option_names}):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [*super().shell_complete(ctx, incomplete), *complete_jobs(ctx, self.commands["list"].params[0], incomplete)]


@click.group("jobs", cls=Listing)
def jobs() -> None:
    """List jobs, or show the JOBs named; tell where their time went; delete them.

    `sankofa jobs [JOB]...` is short for `sankofa jobs list [JOB]...`, which has options.
    """


@jobs.command("list")
@click.argument("job_ids", nargs=-1, metavar="[JOB]...", shell_complete=complete_jobs)
@filtered
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
@as_json
@connected
def list_jobs(client: Client, /, job_ids: tuple[str, ...], limit: int, as_json: bool, **told: Any) -> None:
    """List jobs for which all that is told holds, newest first; or show the JOBs named. With --json: one job per line."""
    if job_ids:
        for job_id in job_ids:
            job = client.job(job_id)
            write_json(job.document) if as_json else click.echo(summary(job))
        return
    wanted = conditions(**told)
    found = itertools.islice(client.jobs(**wanted), limit)
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
        which = f" in state {' or '.join(told['states'])}" if wanted.keys() == {"state"} else " like that" if wanted else ""
        click.echo(f"no jobs{which}; `sankofa train` queues one", err=True)
        return
    # A width that breaks no id where there is no terminal to measure.
    console = Console(highlight=False)
    console.print(table) if console.is_terminal else Console(highlight=False, width=200).print(table)


@jobs.command()
@one_job
@as_json
@connected
def history(client: Client, job_id: str, as_json: bool) -> None:
    """Tell which states JOB went through, and how long it was in each.

    With --json: as GET /v1/jobs/{id}/history tells it.
    """
    found = client.job(job_id).history()
    if as_json:
        write_json(found)
        return
    show_table(("since", "state", "seconds"), ((stay["at"], stay["state"], _seconds(stay["seconds"])) for stay in found["data"]))
    more = ", and more after these" if found["next_cursor"] else ""
    all_of_it = ", ".join(f"{state} {seconds:,.1f} s" for state, seconds in found["seconds"].items())
    claimed = f"taken by workers {times(found['claims'])}, {found['lost']:,} of them lost"
    click.echo(f"{all_of_it}{more}\n{claimed}")


@jobs.command()
@one_job
@click.option("--name", help="What to call it; empty takes the name away.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Give it this tag; may be told several times.")
@click.option("--untag", "gone", multiple=True, metavar="NAME", help="Take this tag away; may be told several times.")
@click.option("--priority", type=click.IntRange(-100, 100), help="Higher goes first.")
@click.option("--deadline", type=NONE_OR_MOMENT, metavar="TIME|none", help="When it fails unless it has ended.")
@as_json
@connected
def change(
    client: Client,
    job_id: str,
    name: str | None,
    tags: tuple[str, ...],
    gone: tuple[str, ...],
    priority: int | None,
    deadline: str | None,
    as_json: bool,
) -> None:
    """Change the name, tags, priority or deadline of JOB, also of one that has ended; what is left out stays. With --json: the job.

    Whoever changes them at the same moment is told, or you are: nobody's change is lost unseen.
    """
    values: dict[str, Any] = {} if name is None else {"name": name or None}
    values |= {} if priority is None else {"priority": priority}
    values |= {} if deadline is None else {"deadline": None if deadline == "none" else deadline}
    given = tags_of(tags)
    if not values and not given and not gone:
        raise click.UsageError("say what is to change: --name, --tag, --untag, --priority or --deadline")
    job = client.job(job_id)
    if given or gone:
        held = job.document["tags"]
        if missing := [tag for tag in gone if tag not in held]:
            raise click.UsageError(f"--untag: {job_id} has no tag {missing[0]!r}; it has {', '.join(held) or 'none'}")
        values["tags"] = {tag: value for tag, value in held.items() if tag not in gone} | given
    job.change(**values)
    write_json(job.document) if as_json else click.echo(summary(job))


@jobs.command()
@some_jobs
@as_json
@connected
def delete(client: Client, job_ids: tuple[str, ...], as_json: bool) -> None:
    """Delete JOBs that have ended, for good, with all that they left. With --json: the bytes that each freed, one per line.

    One that others go on from, or that versions of models came from, is refused: delete those first.
    """
    for job_id in job_ids:
        freed = client.job(job_id).delete()
        write_json({"id": job_id, "freed_bytes": freed}) if as_json else click.echo(f"{job_id} is gone: {size(freed)} freed")


def times(count: int) -> str:
    """once, or 12 times."""
    return "once" if count == 1 else f"{count:,} times"


def _seconds(seconds: Any) -> str:
    return "" if seconds is None else f"{seconds:,.3f}"
