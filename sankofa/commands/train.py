"""`sankofa train`: queue a job, and if asked, wait for it and fetch its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.completion import dataset_ids
from sankofa.commands.exits import Exit, end_of
from sankofa.commands.options import as_json, connected, dataset_of, missing, timeout, write_json
from sankofa.commands.spec import changed, read_spec
from sankofa.progress import follow, summary
from sankofa.trained import FORMATS


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--data", shell_complete=dataset_ids, help="File to train on, or the id of a dataset; else the spec's `dataset`.")
@missing
@click.option("--target", help="Column to be learnt; else the spec's `target`.")
@click.option("--set", "settings", multiple=True, metavar="PLACE=VALUE", help="Put it into the spec: --set optimizer.learning_rate=0.01")
@click.option("--name", help="What to call the job.")
@click.option("--seed", type=int, help="Seed of all that is random; else the spec's, else one is drawn.")
@click.option("--preflight", is_flag=True, help="Queue nothing; say how large the job would be, how long it would take, what to beat.")
@click.option("--watch", is_flag=True, help="Wait for the end of the job, drawing its curves.")
@click.option("--output", type=click.Path(dir_okay=False), help=f"Wait, then write the weights here ({', '.join(FORMATS)}).")
@timeout
@as_json
@connected
def train(
    client: Client,
    spec: str,
    data: str | None,
    missing: str,
    target: str | None,
    settings: tuple[str, ...],
    name: str | None,
    seed: int | None,
    preflight: bool,
    watch: bool,
    output: str | None,
    timeout_seconds: float | None,
    as_json: bool,
) -> int:
    """Train the network that SPEC describes.

    SPEC is what POST /v1/jobs takes, in a file of JSON, YAML or TOML; - reads stdin.

    With --json: the job as one line, or with --watch or --output one line per change; the last is its end.
    """
    document = changed(read_spec(spec), settings)
    if output is not None and Path(output).suffix not in FORMATS:
        raise click.UsageError(f"--output: expected a name that ends in {', '.join(FORMATS)}, got {output}")
    document |= {key: value for key, value in {"target": target, "name": name, "seed": seed}.items() if value is not None}
    if data is not None:
        document["dataset"] = dataset_of(client, data, missing=missing)
    if "dataset" not in document and "parent" not in document:
        raise click.UsageError(f"{spec} names no dataset; add --data FILE or --data ds_...")
    if preflight:
        found = client.preflight(document)
        write_json(found) if as_json else click.echo(foretold(found))
        return Exit.DONE
    job = client.submit(document)
    if (watch or output is not None) and not as_json:
        click.echo(f"{job.id}  queued; it goes on when this is interrupted, `sankofa watch {job.id}` shows it again", err=True)
    if watch or output is not None:
        job = follow(job, timeout_seconds=timeout_seconds, as_json=as_json)
    elif as_json:
        write_json(job.document)
    if not as_json:
        click.echo(summary(job))
    if output is not None and job.state not in ("failed", "cancelled"):
        path = job.download(output)
        click.echo(f"  weights: {path}", err=as_json)
    return end_of(job.state)


def foretold(found: Mapping[str, Any]) -> str:
    """A preflight in lines for people."""
    estimate, baseline, checked = found["estimate"], found["baseline"], found["gradient_check"]
    scores = {"loss": baseline["loss"], **baseline["metrics"]}
    ahead = estimate["jobs_ahead"]
    lines = [
        f"{found['parameters']:,} parameters, {found['memory_bytes'] / 2**20:,.1f} MiB, {found['steps']:,} steps",
        f"  trains for about {_seconds(estimate['training_seconds'])}, behind {ahead} job{'' if ahead == 1 else 's'}"
        + ("" if estimate["finish_seconds"] is None else f"; done in about {_seconds(estimate['finish_seconds'])}"),
        "  to beat: " + ", ".join(f"{name} {value:.4g}" for name, value in scores.items() if value is not None),
        f"  gradients: {_checked(checked)}",
    ]
    return "\n".join(lines + [f"  warning: {warning['message']}" for warning in found["warnings"]])


def _seconds(seconds: float) -> str:
    """A time for people: 12 s, 1.5 s, 0.04 s."""
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _checked(checked: Mapping[str, Any] | None) -> str:
    if checked is None:
        return "not checked: the network is too large"
    error = checked["relative_error"]
    if not checked["ok"]:
        return f"{error:.2g} away from differences of the loss, relative to the largest"
    return "right" + (f" to {math.floor(-math.log10(error))} digits" if error > 0 else "")
