"""`sankofa api`, `worker`, `migrate`, `warm`: the parts of the service one by one, for those who run them on several machines."""

from __future__ import annotations

import os
import sys

import click

from sankofa.commands import options
from sankofa.commands.options import as_json, installed, write_json
from sankofa.commands.serve import keep_running
from sankofa.display import Steps, terminal_console
from sankofa.installation import Installation
from sankofa.preparation import compile_kernels, copy
from sankofa.preparation import migrate as migrate_installation
from sankofa.process import PRIVATE_UMASK
from sankofa.supervisor import stop_signals_interrupt


@click.command()
@as_json
@installed
def api(host: str | None, port: int | None, data_dir: str | None, as_json: bool) -> None:
    """Run the API server alone.

    It is this very process, and SIGTERM ends it. `sankofa migrate` must have run before.

    With --json: one line when it starts, {"event": "start", "url": ..., "data_dir": ..., "pid": ...}; /readyz says when it is ready.
    """
    installation = Installation.find(host=host, port=port, data_dir=data_dir)
    installation.check_port()
    part = installation.part("api")
    if as_json:
        write_json({"event": "start", "url": installation.url, "data_dir": str(installation.data_dir), "pid": os.getpid()})
    sys.stdout.flush()
    sys.stderr.flush()
    os.umask(PRIVATE_UMASK)
    os.execve(part.command[0], list(part.command), dict(part.environment))


@click.command()
@options.data_dir
@click.option("--workers", type=click.IntRange(min=1), help="Jobs trained at once. [SANKOFA_WORKERS; default: 1]")
@click.option("--reaper/--no-reaper", default=True, show_default=True, help="Run a reaper beside it; several do no harm.")
@as_json
def worker(data_dir: str | None, workers: int | None, reaper: bool, as_json: bool) -> None:
    """Run a worker and its reaper until Ctrl-C or SIGTERM.

    Each is started again when it dies. Needs no API on this machine.

    With --json: one line per restart, and one at the end.
    """
    with stop_signals_interrupt():
        installation = Installation.find(data_dir=data_dir, workers=workers)
        compile_kernels(installation, Steps(1, terminal_console()), only_usual=True)
        keep_running(installation, ["worker", "reaper"] if reaper else ["worker"], as_json=as_json)


def _address(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    if url == "":
        raise click.BadParameter("expected the URL of a database, got an empty text", context, parameter)
    return url


@click.command()
@options.data_dir
@click.option(
    "--copy-to",
    metavar="URL",
    callback=_address,
    help="Copy the installation into this database, which must hold nothing, instead. The service must be stopped.",
)
@click.option("--with-damaged", is_flag=True, help="With --copy-to: also blobs that are not what was once written.")
@as_json
def migrate(data_dir: str | None, copy_to: str | None, with_damaged: bool, as_json: bool) -> None:
    """Make the database, or upgrade it; make the first API key.

    Safe to repeat.

    With --copy-to, e.g. postgresql://user@host/sankofa: copy an installation from SQLite to Postgres, or back. All of it is compared, row
    by row and digest by digest, before it counts; else nothing is there. Then set SANKOFA_DATABASE_URL and start. PGPASSWORD or
    ~/.pgpass may hold the password. See docs/deployment.md.

    \b
    With --copy-to and --json:
      {"source": ..., "target": ..., "rows": {TABLE: ...}, "blobs": ..., "blob_bytes": ..., "damaged": [...], "seconds": ...}
    """
    if with_damaged and copy_to is None:
        raise click.UsageError("--with-damaged says something about --copy-to, which is not given")
    with stop_signals_interrupt():
        installation, steps = Installation.find(data_dir=data_dir), Steps(1, terminal_console())
        if copy_to is None:
            migrate_installation(installation, steps)
            said = {"data_dir": str(installation.data_dir), "key_path": str(installation.key_path)}
        else:
            said = copy(installation, steps, copy_to, with_damaged=with_damaged)
    for what in said.get("damaged", []):
        click.echo(f"damaged, and copied as it is: {what}", err=True)
    if as_json:
        write_json({**said, "seconds": steps.done[0]["seconds"]})
    elif copy_to is not None:
        click.echo(f"{said['target']} holds the installation. Set SANKOFA_DATABASE_URL to it, and start the service.")


@click.command()
@as_json
def warm(as_json: bool) -> None:
    """Compile the kernels now, so that no job waits for it.

    At once when that was done before.
    """
    with stop_signals_interrupt():
        steps = Steps(1, terminal_console())
        compile_kernels(Installation.find(), steps)
    if as_json:
        write_json({"seconds": steps.done[0]["seconds"]})
