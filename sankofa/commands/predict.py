"""`sankofa predict`: what a trained network answers for new rows."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.exits import Exit, end_of
from sankofa.commands.options import as_json, connected, one_source, read_json, snapshot, write_json
from sankofa.jobs import Job
from sankofa.models import is_model
from sankofa.progress import follow, summary
from sankofa.trained import Trained

ENDINGS = {".csv": "csv", ".npz": "npz"}


@click.command()
@one_source
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, allow_dash=True), help="CSV with the network's input columns; - reads stdin."
)
@click.option("--inputs", help='The same as JSON: {"x": [[0, 1]]} by column, or [[0, 1]] by row.')
@click.option("--batch", help="A file of any number of rows, or the id of a dataset: a job answers for all of them.")
@click.option("--output", help="With --batch: the file to write, .csv or .npz. [default: CSV to stdout]")
@snapshot
@as_json
@connected
def predict(
    client: Client,
    source: str,
    data: str | None,
    inputs: str | None,
    batch: str | None,
    output: str | None,
    snapshot: str,
    as_json: bool,
) -> int:
    """Predict with what a job has learned, or with a model (digits@production, digits@3; digits is its newest version).

    A line per row on stdout. Columns of the CSV that the network does not read are left out.

    With --json: one document with outputs, and probabilities, labels and classes where the loss has them; with --batch the job instead.
    """
    if [data, inputs, batch].count(None) != 2:
        raise click.UsageError("give the rows by --data FILE.csv or by --inputs JSON; or by --batch FILE, for a job")
    if output is not None and (batch is None or Path(output).suffix not in ENDINGS):
        raise click.UsageError(f"--output: expected a file name that ends in {' or '.join(ENDINGS)}, with --batch; got {output}")
    if batch is not None:
        dataset = client.dataset_id(batch)
        made = client.models.predict_all(source, dataset) if is_model(source) else client.job(source).predict_all(dataset, snapshot)
        return _as_job(made, output, as_json)
    trained, names = _source(client, source, snapshot)
    rows = read_json(inputs, "--inputs") if inputs is not None else _columns(data or "-", names)
    prediction = trained.predict(rows)
    if as_json:
        write_json({name: values.tolist() if hasattr(values, "tolist") else values for name, values in vars(prediction).items()})
        return Exit.DONE
    for row, numbers in enumerate(prediction.outputs):
        if prediction.labels is None or prediction.probabilities is None:
            click.echo(" ".join(f"{number:.6g}" for number in numbers.ravel()))
        else:
            probabilities = prediction.probabilities[row]
            # For two classes it is the probability of the second one.
            sure = probabilities.max() if probabilities.ndim else max(probabilities, 1 - probabilities)
            click.echo(f"{prediction.labels[row]}\t{sure:.4f}")
    return Exit.DONE


def _as_job(job: Job, output: str | None, as_json: bool) -> int:
    """Wait for a job that answers for all rows, and write what it answered."""
    made = follow(job, timeout_seconds=None, as_json=False)
    if made.state in ("failed", "cancelled"):
        click.echo(summary(made), err=True)
        return end_of(made.state)
    if output is not None:
        Path(output).write_bytes(made.predictions_file(ENDINGS[Path(output).suffix]))
        click.echo(f"{output}  {made.progress['step']:,} rows", err=True)
    elif not as_json:
        click.echo(made.predictions_file("csv"), nl=False)
    if as_json:
        write_json(made.document)
    return end_of(made.state)


def _source(client: Client, source: str, snapshot: str) -> tuple[Trained, list[str]]:
    """What is to be asked, and the columns that it reads."""
    if is_model(source):
        version = client.models.version(source)
        return client.models.trained(source), [column["name"] for column in version["signature"]["inputs"]]
    job = client.job(source)
    return job.trained(snapshot), list(job.spec.get("inputs") or [])


def _columns(path: str, wanted: list[str]) -> dict[str, list[Any]]:
    """The columns that are wanted out of a CSV file: numbers, or text where a cell is none."""
    with click.open_file(path, "rb") as file:
        data = file.read()
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: expected CSV in UTF-8, plain or gzip: {error}") from error
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    header = rows[0] if rows else []
    missing = [name for name in wanted if name not in header]
    if missing:
        raise click.UsageError(f"{path}: expected the network's input columns in the first line; missing: {', '.join(missing[:10])}")
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
