"""Options that several commands share, and the answers they write to stdout."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from sankofa.client import Client
from sankofa.commands.completion import dataset_ids, job_ids, profiles, sources
from sankofa.datasets import Dataset, name_of

Parameters = ParamSpec("Parameters")
Command = Callable[..., int | None]

as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout and nothing else.")
snapshot = click.option("--snapshot", default="best", show_default=True, help="best, last, or the step of a snapshot.")
one_job = click.argument("job_id", metavar="JOB", shell_complete=job_ids)
one_source = click.argument("source", metavar="JOB|MODEL", shell_complete=sources)
some_jobs = click.argument("job_ids", nargs=-1, required=True, metavar="JOB...", shell_complete=job_ids)
timeout = click.option("--timeout", "timeout_seconds", type=click.FloatRange(min=0), help="Wait at most this many seconds.")


missing = click.option(
    "--missing",
    type=click.Choice(["refuse", "allow"]),
    default="refuse",
    show_default=True,
    help="Of a file: whether values may be, as empty cells, NA, ?, ...; a spec has to impute numbers that are.",
)


def data_argument(name: str) -> Callable[[Command], Command]:
    """An argument that is a file, which is uploaded, or the id of a dataset."""
    return click.argument(name, metavar="DATA", shell_complete=dataset_ids)


def dataset_of(client: Client, data: str, **options: Any) -> str:
    """The id of a dataset, or of the one that a file becomes; a file that is not there is told with files of like names.

    Where its content is there already under another name than the file's, stderr says so.
    """
    path = Path(data)
    if data.startswith("ds_") and not path.exists():
        return data
    if not path.is_file():
        raise click.UsageError(missing_file(path))
    made = client.datasets.upload(path, **options)
    if made.created is False and made.name != name_of(path):
        click.echo(was_there(path, made), err=True)
    return made.id


def was_there(path: Path, dataset: Dataset) -> str:
    """What to say of a file whose content was uploaded before."""
    return f"{path}: this content is there already, as {dataset.id}{f' ({dataset.name})' if dataset.name else ''}; nothing new is stored"


def missing_file(path: Path) -> str:
    """What to say of a file that is not there."""
    if path.is_dir():
        return f"{path}: expected a file, found a folder"
    try:
        there = [each.name for each in path.parent.iterdir() if each.is_file()]
    except OSError:
        return f"{path}: there is no folder {path.parent}"
    close = difflib.get_close_matches(path.name, there, 3)
    return f"{path}: there is no such file" + (
        f"; did you mean {' or '.join(str(path.with_name(name)) for name in close)}?" if close else ""
    )


def _named(context: click.Context, parameter: click.Parameter, folder: str | None) -> str | None:
    if folder == "":  # else the default folder would be taken, which nobody meant who wrote --data-dir "$UNSET"
        raise click.BadParameter("expected a folder, got an empty text", context, parameter)
    return folder


data_dir = click.option(
    "--data-dir", type=click.Path(file_okay=False), callback=_named, help="Private folder of the installation. [SANKOFA_DATA_DIR]"
)


def connected(command: Callable[Concatenate[Client, Parameters], int | None]) -> Command:
    """Give `command` a client of the service that --url, --api-key or the environment name, as its first argument."""

    @click.option("--url", help="Address of the service. [SANKOFA_URL; default: http://127.0.0.1:8000]")
    @click.option("--api-key", help="Its key. [SANKOFA_API_KEY; default on this machine: the key file]")
    @click.option("--profile", shell_complete=profiles, help="A service of the configuration file. [SANKOFA_PROFILE]")
    @functools.wraps(command)
    def with_client(*args: Any, url: str | None, api_key: str | None, profile: str | None, **options: Any) -> int | None:
        # Long enough for an API that is being started again, short enough for a person where there is none.
        with Client(url, api_key, profile=profile, retries=4) as client:
            return command(client, *args, **options)

    return with_client


def installed(command: Command) -> Command:
    """Give `command` the options of a process of this machine's installation; each is also a SANKOFA_* variable."""
    for option in (
        data_dir,
        click.option("--port", type=click.IntRange(0, 65535), help="Port of the API; 0 takes a free one. [SANKOFA_PORT; default: 8000]"),
        click.option("--host", help="Address the API listens on. [SANKOFA_HOST; default: 127.0.0.1]"),
    ):
        command = option(command)
    return command


def write_json(document: object) -> None:
    """One JSON document as one line on stdout."""
    click.echo(json.dumps(document))


def read_json(text: str, what: str) -> Any:
    """The JSON in `text`. Raises click.UsageError naming `what` and the place of the fault."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{what} is not JSON: {error}") from error
