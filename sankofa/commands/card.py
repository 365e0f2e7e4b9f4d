"""`sankofa card`: the model card of what a job has learned."""

from __future__ import annotations

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, one_source, snapshot, write_json
from sankofa.models import is_model


@click.command()
@one_source
@snapshot
@as_json
@connected
def card(client: Client, source: str, snapshot: str, as_json: bool) -> None:
    """Write the model card of a job, or of a model (digits@production, digits@3; digits is its newest version), as Markdown.

    What the network is, what it was trained on, what it is worth, and its known limits. With --json: as JSON.
    """
    trained = client.models.trained(source) if is_model(source) else client.job(source).trained(snapshot)
    write_json(trained.card()) if as_json else click.echo(trained.card_text(), nl=False)
