"""`sankofa fork`: a job that goes on from another."""

from __future__ import annotations

from typing import Any, Literal

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, dataset_of, missing, one_source, read_json, write_json
from sankofa.progress import summary


@click.command()
@one_source
@click.option("--epochs", type=click.IntRange(min=1), help="Further epochs; else those that JOB had left, or as many as it had.")
@click.option("--step", default="last", show_default=True, help="Where to go on: last, best, or a step that JOB kept.")
@click.option("--data", help="Other data: a file, or the id of a dataset.")
@missing
@click.option(
    "--preprocessing",
    type=click.Choice(["kept", "fitted"]),
    help="Of JOB, or fitted to the new data. [default: kept, where inputs and steps are the same]",
)
@click.option("--changes", metavar="JSON", help='What else is to be other than in JOB: \'{"optimizer": {"type": "adam"}}\'.')
@click.option("--name", help="What to call the new job.")
@as_json
@connected
def fork(
    client: Client,
    source: str,
    epochs: int | None,
    step: str,
    data: str | None,
    missing: str,
    preprocessing: Literal["kept", "fitted"] | None,
    changes: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Go on from JOB, or from a version of MODEL (digits@production, digits@3), in a job of its own; both stay as they are.

    With nothing but further epochs the run goes on bit for bit; with other data or other settings a new one begins with the parameters
    found there. With --json: the new job as one line.
    """
    options: dict[str, Any] = {} if changes is None else read_json(changes, "--changes")
    if not isinstance(options, dict):
        raise click.UsageError(f"--changes: expected a JSON object, got {changes}")
    options |= {key: value for key, value in {"epochs": epochs, "name": name}.items() if value is not None}
    dataset = None if data is None else dataset_of(client, data, missing=missing)
    at = int(step) if step.isdecimal() else step
    job = client.fork(source, step=at, data=dataset, preprocessing=preprocessing, **options)
    if as_json:
        write_json(job.document)
        return
    parent = job.document["parent"]
    how = "bit for bit" if parent["continues"] == "exactly" else "with the parameters found there"
    click.echo(summary(job))
    of = source if parent["step"] is None else f"step {parent['step']:,} of {parent['job']}"
    inputs = f", preprocessing {parent['preprocessing']}" if parent.get("preprocessing") else ""
    click.echo(f"  goes on from {of}, {how}{inputs}, for {parent['further_epochs']:,} further epochs")
