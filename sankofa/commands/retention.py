"""`sankofa retention`: what will be deleted by itself, and when."""

from __future__ import annotations

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, write_json
from sankofa.commands.tables import show_table
from sankofa.sending import size

KINDS = ("checkpoints", "dataset", "upload", "delivery")
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@click.command()
@click.option("--what", multiple=True, type=click.Choice(KINDS), help="Only these; may be told several times.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most this many things.")
@as_json
@connected
def retention(client: Client, what: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Tell what will be deleted by itself, and when: the rules, and what of yours they take next, soonest first.

    What no rule names is kept until somebody deletes it. With --json: as GET /v1/retention tells it.
    """
    found = client.retention(what, limit=limit)
    if as_json:
        write_json(found)
        return
    rules = ((rule["what"], span(rule["after_seconds"]), rule["counted_from"], rule["next_after"] or "-") for rule in found["rules"])
    show_table(("what", "goes after", "counted from", "next of yours"), rules)
    click.echo()
    if not found["data"]:
        click.echo("nothing of yours is about to go" if not what else f"no {' or '.join(what)} of yours is about to go")
        return
    leaving = ((each["deleted_after"], each["what"], each["id"], size(each["bytes"]), _kept_for(each)) for each in found["data"])
    show_table(("not before", "what", "of", "frees", ""), leaving)
    if found["next_cursor"]:
        click.echo("and more after these; --limit shows them")


def span(seconds: float) -> str:
    """A time in the largest unit that tells it exactly: 7 days, 90 minutes."""
    for unit, name in UNITS:
        count, rest = divmod(seconds, unit)
        if count and not rest:
            return f"{count:,.0f} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def _kept_for(leaving: dict[str, list[str]]) -> str:
    return f"the job stays for {', '.join(leaving['versions'])}" if leaving["versions"] else ""
