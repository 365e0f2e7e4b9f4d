"""`sankofa predict`: what a trained network answers for new rows."""

from __future__ import annotations

import csv
import gzip
import io
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, read_json, snapshot, write_json
from sankofa.jobs import Job


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, allow_dash=True), help="CSV with the job's input columns; - reads stdin."
)
@click.option("--inputs", help='The same as JSON: {"x": [[0, 1]]} by column, or [[0, 1]] by row.')
@snapshot
@as_json
@connected
def predict(client: Client, job_id: str, data: str | None, inputs: str | None, snapshot: str, as_json: bool) -> None:
    """Predict with JOB's trained network: a line per row on stdout. Columns of the CSV that the job does not read are left out.

    With --json: one document with outputs, and probabilities and labels where the loss has them.
    """
    if (data is None) == (inputs is None):
        raise click.UsageError("give the rows by --data FILE.csv or by --inputs JSON")
    job = client.job(job_id)
    rows = read_json(inputs, "--inputs") if inputs is not None else _columns(data or "-", job)
    prediction = job.predict(rows, snapshot)
    if as_json:
        write_json({name: None if values is None else values.tolist() for name, values in vars(prediction).items()})
        return
    for row, output in enumerate(prediction.outputs):
        if prediction.labels is None or prediction.probabilities is None:
            click.echo(" ".join(f"{number:.6g}" for number in output.ravel()))
        else:
            probabilities = prediction.probabilities[row]
            # For two classes it is the probability of the second one.
            sure = probabilities.max() if probabilities.ndim else max(probabilities, 1 - probabilities)
            click.echo(f"{prediction.labels[row]}\t{sure:.4f}")


def _columns(path: str, job: Job) -> dict[str, list[Any]]:
    """The job's input columns out of a CSV file: numbers, or text where a cell is none."""
    with click.open_file(path, "rb") as file:
        data = file.read()
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: expected CSV in UTF-8, plain or gzip: {error}") from error
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    header = rows[0] if rows else []
    wanted = job.spec.get("inputs") or []
    missing = [name for name in wanted if name not in header]
    if missing:
        raise click.UsageError(f"{path}: expected the job's input columns in the first line; missing: {', '.join(missing[:10])}")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise click.UsageError(f"{path}: row {number} has {len(row)} cells, the header has {len(header)}")
    places = {name: header.index(name) for name in wanted}
    return {name: [_cell(row[place]) for row in rows[1:]] for name, place in places.items()}


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
