"""`sankofa serve`: the whole service on this machine, in the foreground; and how any of its processes are kept running."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import click

from sankofa.commands.options import as_json, installed, write_json
from sankofa.display import Steps, terminal_console
from sankofa.installation import Installation
from sankofa.logs import PrefixedStderr
from sankofa.preparation import compile_kernels, migrate
from sankofa.process import describe_exit
from sankofa.supervisor import Supervisor, stop_signals_interrupt


@click.command()
@click.option("--workers", type=click.IntRange(min=1), help="Jobs trained at once. [SANKOFA_WORKERS; default: 1]")
@as_json
@installed
def serve(host: str | None, port: int | None, data_dir: str | None, workers: int | None, as_json: bool) -> None:
    """Run the service here until Ctrl-C.

    API, worker and reaper, each started again when it dies.

    The logs of all processes go to stderr. A second Ctrl-C does not wait for jobs to write their checkpoints.
    Every setting is also a SANKOFA_* variable; see docs/settings.md.

    \b
    With --json, one line per event:
      {"event": "ready", "url": ..., "key_path": ..., "data_dir": ..., "pid": ...}
      {"event": "restart", "process": ..., "exit": ..., "delay_seconds": ...}
      {"event": "stopped", "killed": [...]}
    """
    with stop_signals_interrupt():
        installation = Installation.find(host=host, port=port, data_dir=data_dir, workers=workers)
        steps = Steps(3, terminal_console(), live=False)
        with installation.lock():
            installation.check_port()
            migrate(installation, steps)
            compile_kernels(installation, steps, only_usual=True)

            def start(supervisor: Supervisor) -> None:
                with steps.step("start API, worker and reaper"):
                    installation.wait_until_ready(supervisor)

            def tell() -> None:
                if as_json:
                    write_json({"event": "ready", "url": installation.url, **_places(installation), "pid": os.getpid()})
                else:
                    click.echo(_banner(installation))

            keep_running(installation, ["api", "worker", "reaper"], as_json=as_json, start=start, tell=tell)


def keep_running(
    installation: Installation,
    names: list[str],
    *,
    as_json: bool,
    start: Callable[[Supervisor], object] = lambda supervisor: None,
    tell: Callable[[], object] = lambda: None,
) -> None:
    """Run parts of the service, logs on stderr, until a signal asks for the end, which is a clean one.

    start: called once they are started. tell: called then, says that they are; whoever asks for the end as soon as that is said is
    given a clean one. Raises InstallationFault when one of them keeps dying at once; KeyboardInterrupt when the
    signal came before `start` had returned.
    """
    log = PrefixedStderr(names, prefix=installation.log_format != "json")

    def restarted(name: str, code: int, delay_seconds: float) -> None:
        if as_json:
            with contextlib.suppress(OSError):  # whoever read this is gone; the service goes on
                write_json({"event": "restart", "process": name, "exit": code, "delay_seconds": delay_seconds})
        log(name, f"ended {describe_exit(code)}; started again in {delay_seconds:.1f} s")

    parts = [installation.part(name) for name in names]
    with Supervisor(parts, grace_seconds=installation.grace_seconds, on_line=log, on_restart=restarted) as supervisor:
        start(supervisor)
        with contextlib.suppress(KeyboardInterrupt):
            tell()
            supervisor.wait()
        if not as_json:
            click.echo("stopping; running jobs write a checkpoint first", err=True)
        killed = supervisor.stop()
    if as_json:
        write_json({"event": "stopped", "killed": killed})
    else:
        click.echo(f"stopped; had to kill {' and '.join(killed)}" if killed else "stopped", err=True)


def _places(installation: Installation) -> dict[str, str]:
    return {"key_path": str(installation.key_path), "data_dir": str(installation.data_dir)}


def _banner(installation: Installation) -> str:
    key = "the one in SANKOFA_API_KEY" if installation.environment.get("SANKOFA_API_KEY") else str(installation.key_path)
    return (
        f"\nSankofa is ready at {installation.url}\n"
        f"  key    {key}\n"
        f"  data   {installation.data_dir}\n"
        f"  docs   {installation.url}/docs\n"
        f"  stop   Ctrl-C\n"
    )
