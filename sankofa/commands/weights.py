"""`sankofa weights`: fetch trained parameters into a file."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, one_source, snapshot, write_json
from sankofa.models import is_model
from sankofa.trained import FORMATS


@click.command()
@one_source
@click.option("--output", help="File to write; - writes to stdout. [default: JOB or MODEL and the format's ending]")
@click.option("--format", "format_name", type=click.Choice(list(FORMATS.values())), help="[default: by --output, else safetensors]")
@snapshot
@as_json
@connected
def weights(client: Client, source: str, output: str | None, format_name: str | None, snapshot: str, as_json: bool) -> None:
    """Fetch trained parameters: of a job, or of a model (digits@production, digits@3; digits is its newest version).

    Of a running job they are those of its newest checkpoint. With --json: where they lie now, and their sha256.
    """
    trained = client.models.trained(source) if is_model(source) else client.job(source).trained(snapshot)
    if output == "-":
        if as_json:
            raise click.UsageError("--output - and --json both want stdout")
        sys.stdout.buffer.write(trained.file(format_name or "safetensors"))
        return
    ending = next(ending for ending, name in FORMATS.items() if name == (format_name or "safetensors"))
    path = trained.download(output or f"{source}{ending}", format_name)
    if as_json:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        which = {"model": source} if is_model(source) else {"job": source, "snapshot": snapshot}
        write_json({**which, "path": str(path.resolve()), "bytes": len(data), "sha256": digest})
    else:
        click.echo(f"{path}  {Path(path).stat().st_size:,} bytes")
