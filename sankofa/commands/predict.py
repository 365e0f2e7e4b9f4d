"""`sankofa predict`: what a trained network answers for new rows."""

from __future__ import annotations

from pathlib import Path

import click

from sankofa.client import Client
from sankofa.commands.exits import Exit, end_of
from sankofa.commands.options import as_json, connected, dataset_of, missing, one_source, read_json, snapshot, write_json
from sankofa.jobs import Job
from sankofa.models import is_model
from sankofa.progress import follow, summary

ENDINGS = {".csv": "csv", ".npz": "npz"}


@click.command()
@one_source
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="A file with the network's input columns, CSV, npz or Parquet; - reads stdin.",
)
@click.option("--inputs", help='The same as JSON: {"x": [[0, 1]]} by column, or [[0, 1]] by row.')
@click.option("--batch", help="A file of any number of rows, or the id of a dataset: a job answers for all of them.")
@missing
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
    missing: str,
    output: str | None,
    snapshot: str,
    as_json: bool,
) -> int:
    """Predict with what a job has learned, or with a model (digits@production, digits@3; digits is its newest version).

    A line per row on stdout. Columns of the file that the network does not read are left out. Of --data and --inputs what the network was
    trained to miss may be missing; --missing is of a --batch file.

    With --json: one document with outputs, and probabilities, labels and classes where the loss has them; with --batch the job instead.
    """
    if [data, inputs, batch].count(None) != 2:
        raise click.UsageError("give the rows by --data FILE.csv or by --inputs JSON; or by --batch FILE, for a job")
    if output is not None and (batch is None or Path(output).suffix not in ENDINGS):
        raise click.UsageError(f"--output: expected a file name that ends in {' or '.join(ENDINGS)}, with --batch; got {output}")
    if batch is not None:
        dataset = dataset_of(client, batch, missing=missing)
        made = client.models.predict_all(source, dataset) if is_model(source) else client.job(source).predict_all(dataset, snapshot)
        return _as_job(made, output, as_json)
    trained = client.models.trained(source) if is_model(source) else client.job(source).trained(snapshot)
    prediction = trained.predict(read_json(inputs, "--inputs") if inputs is not None else _content(data or "-"))
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


def _content(path: str) -> bytes:
    with click.open_file(path, "rb") as file:
        return bytes(file.read())
