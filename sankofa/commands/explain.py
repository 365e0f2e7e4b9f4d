"""`sankofa explain`: what a network has learned."""

from __future__ import annotations

from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.exits import Exit
from sankofa.commands.options import as_json, connected, one_source, read_json, snapshot, timeout, write_json
from sankofa.models import is_model

TYPES = (
    "permutation_importance",
    "input_gradients",
    "layer_activations",
    "maximal_input",
    "loss_line",
    "loss_plane",
    "gradient_check",
)


@click.command()
@one_source
@click.argument("question", type=click.Choice(TYPES), default="permutation_importance")
@click.option(
    "--with", "options", default="{}", help='What the question takes, as JSON: {"layer": 0, "units": [0, 1]}. See docs/explain.md.'
)
@click.option("--data", help="Rows to ask about: a file, or the id of a dataset. [default: what it was trained on, held-out rows if any]")
@snapshot
@timeout
@as_json
@connected
def explain(
    client: Client,
    source: str,
    question: str,
    options: str,
    data: str | None,
    snapshot: str,
    timeout_seconds: float | None,
    as_json: bool,
) -> int:
    """Ask a network what it has learned: of a job, or of a model (digits@production, digits@3; digits is its newest version).

    Which columns decide (permutation_importance), or another QUESTION; what takes long is asked as a job.
    Importance is told as a table, all else as JSON; with --json everything.
    """
    asked = read_json(options, "--with")
    if not isinstance(asked, dict) or not asked.keys().isdisjoint({"type", "data", "snapshot", "run", "timeout_seconds"}):
        raise click.UsageError("--with: expected a JSON object of what the question takes, without its type")
    if is_model(source):
        found = client.models.explain(source, question, data=data, timeout_seconds=timeout_seconds, **asked)
    else:
        found = client.job(source).explain(question, data=data, snapshot=snapshot, timeout_seconds=timeout_seconds, **asked)
    if as_json or question != "permutation_importance":
        write_json(found)
    else:
        click.echo(ranked(found))
    return Exit.DONE


def ranked(found: dict[str, Any]) -> str:
    """Columns by what they are worth, the dearest first."""
    rows = sorted(found["columns"], key=lambda each: -each["mean"])
    names = [each["column"] if each["feature"] is None else f"{each['column']}[{each['feature']}]" for each in rows]
    width = max(map(len, names))
    lines = [f"{found['metric']} {found['value']:.4f} on {found['rows']:,} rows; without a column it is worse by"]
    return "\n".join(
        lines + [f"  {name:<{width}}  {each['mean']:8.4f}  +- {each['deviation']:.4f}" for name, each in zip(names, rows, strict=True)]
    )
