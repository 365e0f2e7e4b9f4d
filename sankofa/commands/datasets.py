"""`sankofa data`: the datasets of the service, and files that are sent to it."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import click

from sankofa.client import Client
from sankofa.commands.completion import dataset_ids
from sankofa.commands.options import as_json, connected, missing, missing_file, was_there, write_json
from sankofa.commands.tables import counted, show_table
from sankofa.datasets import Dataset
from sankofa.sending import size

some_datasets = click.argument("ids", nargs=-1, required=True, metavar="DATASET...", shell_complete=dataset_ids)


@click.group("data")
def data() -> None:
    """Upload, list and delete datasets."""


@data.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it; else as the file.")
@missing
@as_json
@connected
def upload(client: Client, file: Path, name: str | None, missing: str, as_json: bool) -> None:
    """Upload FILE: CSV, npz, npy, Parquet, a zip of class folders.

    A large one goes in parts: it is shown how it goes, a connection that breaks is taken up where it broke, and after an interruption the
    same command goes on where it stood. With --json: the dataset, and nothing else.
    """
    if not file.is_file():
        raise click.UsageError(missing_file(file))
    started = time.monotonic()
    made = client.datasets.upload(file, name=name, missing=missing, progress=not as_json)  # type: ignore[arg-type]  # a choice
    if made.created is False:
        click.echo(was_there(file, made), err=True)
    if as_json:
        write_json(made.document)
        return
    click.echo(told(made))
    click.echo(f"{size(file.stat().st_size)} in {time.monotonic() - started:.1f} s", err=True)


@data.command("list")
@click.option("--trash", is_flag=True, help="Those in the trash, instead.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
@as_json
@connected
def list_datasets(client: Client, trash: bool, limit: int, as_json: bool) -> None:
    """List the datasets, newest first. With --json: one per line."""
    found = itertools.islice(client.datasets.list(trash=trash), limit)
    if as_json:
        for each in found:
            write_json(each.document)
        return
    columns = ("dataset", "name", "rows", "columns", "size", "created")
    show_table(columns, ((each.id, each.name or "", f"{each.rows:,}", f"{len(each.columns):,}", *_kept(each)) for each in found))


@data.command()
@click.option("--drop", metavar="UPLOAD", help="Drop this one and what has arrived of it.")
@as_json
@connected
def uploads(client: Client, drop: str | None, as_json: bool) -> None:
    """List the files that arrive in parts; `sankofa data upload` of the same file goes on. With --json: one per line."""
    if drop is not None:
        client.datasets.drop_upload(drop)
        write_json({"id": drop, "dropped": True}) if as_json else click.echo(f"{drop} is gone")
        return
    if as_json:
        for each in client.datasets.uploads():
            write_json(each)
        return
    found = (
        (each["id"], size(each["received_bytes"]), size(each["bytes"]), each["dataset"] or "", each["expires_at"])
        for each in client.datasets.uploads()
    )
    show_table(("upload", "arrived", "of", "became", "dropped after"), found)


@data.command()
@some_datasets
@as_json
@connected
def delete(client: Client, ids: tuple[str, ...], as_json: bool) -> None:
    """Put DATASETs into the trash, from where `restore` takes them. With --json: the datasets, one per line."""
    for each in ids:
        gone = client.datasets.trash(each)
        write_json(gone.document) if as_json else click.echo(f"{gone.id} is in the trash until {gone.document['purged_after']}")


@data.command()
@some_datasets
@as_json
@connected
def restore(client: Client, ids: tuple[str, ...], as_json: bool) -> None:
    """Take DATASETs out of the trash. With --json: the datasets, one per line."""
    for each in ids:
        back = client.datasets.restore(each)
        write_json(back.document) if as_json else click.echo(told(back))


@data.command()
@some_datasets
@as_json
@connected
def purge(client: Client, ids: tuple[str, ...], as_json: bool) -> None:
    """Delete DATASETs for good, in the trash or not; jobs trained on them stay. With --json: the bytes that each freed."""
    for each in ids:
        freed = client.datasets.purge(each)
        write_json({"id": each, "freed_bytes": freed}) if as_json else click.echo(f"{each} is gone: {size(freed)} freed")


def told(dataset: Dataset) -> str:
    """A dataset on one line."""
    return f"{dataset.id}  {dataset.name or ''}  {counted(dataset.rows, 'row')}, {counted(len(dataset.columns), 'column')}"


def _kept(dataset: Dataset) -> tuple[str, str]:
    return size(dataset.document["bytes"]), dataset.document["created_at"]
