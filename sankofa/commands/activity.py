"""`sankofa activity`: who did what."""

from __future__ import annotations

import itertools
import json
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.filters import MOMENT
from sankofa.commands.options import as_json, connected, write_json
from sankofa.commands.tables import show_table


@click.command()
@click.option("--tenant", help="Only what was done to things of this tenant.")
@click.option("--key", help="Only what was done with the key of this id.")
@click.option("--action", help="Only this: job.create, job.cancel, dataset.purge, model.alias, weights.read, key.rotate, ...")
@click.option("--target", help="Only what was done to the thing of this id.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Not before this time: 2026-01-31, 2026-01-31T12:00:00Z.")
@click.option("--until", type=MOMENT, metavar="TIME", help="Before this time.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
@as_json
@connected
def activity(client: Client, /, limit: int, as_json: bool, **filters: str | None) -> None:
    """List who did what through the API, newest first: changes, and fetches of weights. Needs an admin key.

    What workers did to a job is told by `sankofa logs JOB`. With --json: one entry per line.
    """
    found = itertools.islice(client.audit(**{name: value for name, value in filters.items() if value is not None}), limit)
    if as_json:
        for entry in found:
            write_json(entry)
        return
    show_table(("when", "key", "did", "to", "what else"), (_row(entry) for entry in found))


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    more = ", ".join(f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in entry["data"].items())
    return entry["at"], entry["key"], entry["action"], entry["target"], more
