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
from sankofa.preparation import compile_kernels
from sankofa.preparation import migrate as migrate_installation
from sankofa.process import PRIVATE_UMASK
from sankofa.supervisor import stop_signals_interrupt


@click.command()
@as_json
@installed
def api(host: str | None, port: int | None, data_dir: str | None, as_json: bool) -> None:
    """Run the API server alone, in this very process; SIGTERM ends it. `sankofa migrate` must have run before.

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
    """Run a worker and its reaper until Ctrl-C or SIGTERM, each started again when it dies. Needs no API on this machine.

    With --json: one line per restart, and one at the end.
    """
    with stop_signals_interrupt():
        installation = Installation.find(data_dir=data_dir, workers=workers)
        compile_kernels(installation, Steps(1, terminal_console()), only_usual=True)
        keep_running(installation, ["worker", "reaper"] if reaper else ["worker"], as_json=as_json)


@click.command()
@options.data_dir
@as_json
def migrate(data_dir: str | None, as_json: bool) -> None:
    """Make the database, or upgrade it to this version, and make the first API key. Safe to repeat."""
    with stop_signals_interrupt():
        installation, steps = Installation.find(data_dir=data_dir), Steps(1, terminal_console())
        migrate_installation(installation, steps)
    if as_json:
        write_json({"data_dir": str(installation.data_dir), "key_path": str(installation.key_path), "seconds": steps.done[0]["seconds"]})


@click.command()
@as_json
def warm(as_json: bool) -> None:
    """Compile the kernels now, so that no job waits for it; at once when that was done before."""
    with stop_signals_interrupt():
        steps = Steps(1, terminal_console())
        compile_kernels(Installation.find(), steps)
    if as_json:
        write_json({"seconds": steps.done[0]["seconds"]})
