"""The `sankofa` command: `main` is what is typed. A file per group of commands; `exits` says what exit codes mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from sankofa.commands import (
    activity,
    card,
    compare,
    completion,
    config,
    cross_validate,
    data,
    datasets,
    explain,
    fork,
    jobs,
    keys,
    logs,
    minimize,
    models,
    predict,
    processes,
    requests,
    retention,
    serve,
    tenants,
    train,
    wait,
    watch,
    webhooks,
    weights,
)
from sankofa.commands.demo import demo
from sankofa.commands.exits import TABLE, Exit, exit_code
from sankofa.errors import SankofaError


class InOrder(click.Group):
    """Lists its commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, epilog=TABLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sankofa", message="%(prog)s %(version)s")
def cli() -> None:
    """Sankofa trains neural networks: POST a network and a dataset, fetch trained weights.

    \b
    sankofa demo                             see all of it, from end to end
    sankofa serve                            run the service on this machine
    sankofa train SPEC --data FILE --watch   train a network, and see it learn
    """


for command in (
    demo,
    serve.serve,
    datasets.data,
    data.profile,
    data.audit,
    train.train,
    cross_validate.cross_validate,
    fork.fork,
    jobs.jobs,
    watch.watch,
    wait.wait,
    logs.logs,
    compare.compare,
    weights.weights,
    predict.predict,
    explain.explain,
    minimize.minimize,
    card.card,
    models.models,
    requests.pause,
    requests.resume,
    requests.stop,
    requests.cancel,
    config.config,
    completion.completion,
    webhooks.webhooks,
    tenants.usage,
    retention.retention,
    keys.keys,
    tenants.tenants,
    activity.activity,
    processes.api,
    processes.worker,
    processes.migrate,
    processes.warm,
):
    cli.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code. What went wrong is told on stderr in words, never as a traceback."""
    try:
        return int(cli.main(args=list(arguments), prog_name="sankofa", standalone_mode=False) or Exit.DONE)
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except SankofaError as error:
        click.echo(f"sankofa: {error}", err=True)
        return exit_code(error)
    except BrokenPipeError:
        # The reader of our answers has gone, as `head` does; what Python still holds for it must not be complained about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))
