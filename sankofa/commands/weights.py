"""`sankofa weights`: fetch trained parameters into a file."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, snapshot, write_json
from sankofa.jobs import FORMATS


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--output", help="File to write; - writes to stdout. [default: JOB and the format's ending]")
@click.option("--format", "format_name", type=click.Choice(list(FORMATS.values())), help="[default: by --output, else safetensors]")
@snapshot
@as_json
@connected
def weights(client: Client, job_id: str, output: str | None, format_name: str | None, snapshot: str, as_json: bool) -> None:
    """Fetch the trained parameters of JOB; of a running one, its newest checkpoint's. With --json: where they lie now, and their sha256."""
    job = client.job(job_id)
    if output == "-":
        if as_json:
            raise click.UsageError("--output - and --json both want stdout")
        sys.stdout.buffer.write(job.weights_file(format_name or "safetensors", snapshot))
        return
    ending = next(ending for ending, name in FORMATS.items() if name == (format_name or "safetensors"))
    path = job.download(output or f"{job.id}{ending}", format_name, snapshot)
    if as_json:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        write_json({"job": job.id, "snapshot": snapshot, "path": str(path.resolve()), "bytes": len(data), "sha256": digest})
    else:
        click.echo(f"{path}  {Path(path).stat().st_size:,} bytes")
