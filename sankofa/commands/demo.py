"""`sankofa demo`: the whole path, from digits to trained weights, on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sankofa.address import user_data_folder
from sankofa.commands.options import as_json, write_json
from sankofa.display import Steps, terminal_console
from sankofa.errors import SankofaError
from sankofa.supervisor import stop_signals_interrupt


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of its private service; kept. [default: sankofa-demo beside the service's own]",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="digits.safetensors",
    show_default=True,
    help="Where the weights are written.",
)
@as_json
def demo(data_dir: Path | None, output: Path, as_json: bool) -> None:
    """Watch a network learn handwritten digits, from end to end.

    Starts a private service, trains, fetches the weights, tries them on rows never trained on, and leaves nothing running.
    With --json: one document with all numbers at the end.
    """
    # Here, because no other command needs numpy.
    from sankofa.demo import STEPS, private_installation, run_demo

    data_dir = data_dir or user_data_folder() / "sankofa-demo"
    if not os.access(output.parent, os.W_OK):
        raise click.UsageError(f"--output {output}: this folder cannot be written to")
    steps = Steps(STEPS, terminal_console())
    with stop_signals_interrupt():
        try:
            numbers = run_demo(private_installation(data_dir), output, steps)
        except SankofaError:
            if (data_dir / "logs").is_dir():
                steps.say(f"The logs of its processes are in {data_dir / 'logs'}")
            raise
    if as_json:
        write_json(numbers)
        return
    click.echo(
        f"\n{numbers['right']} of {numbers['rows']} digits it was not trained on are right: accuracy {numbers['accuracy']:.4f}\n\n"
        f"  weights   {numbers['weights']}\n"
        f"  data      {numbers['data_dir']}\n"
        f"  logs      {numbers['logs']}\n"
        f"  job       {numbers['job']}, seen again by: sankofa serve --data-dir {numbers['data_dir']}\n"
    )
