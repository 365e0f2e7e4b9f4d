"""`sankofa minimize`: gradient descent on an expression."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, write_json
from sankofa.plot import chart, short

CHART_WIDTH, CHART_HEIGHT = 78, 10


def numbers(context: click.Context, parameter: click.Parameter, told: tuple[str, ...]) -> dict[str, float]:
    """Numbers by name."""
    found = {}
    for text in told:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(f"expected NAME=NUMBER, as x=1.5; got {text!r}", context, parameter) from None
    return found


@click.command()
@click.argument("expression")
@click.option("--start", multiple=True, required=True, metavar="NAME=NUMBER", callback=numbers, help="Where a variable begins.")
@click.option("--maximize", is_flag=True, help="Go up instead of down.")
@click.option("--optimizer", default="adam", show_default=True, help="Any of a training job: sgd, adam, lbfgs, ...")
@click.option("--learning-rate", type=float, help="How far a step goes.")
@click.option("--steps", type=click.IntRange(min=1), help="At most so many.")
@as_json
@connected
def minimize(
    client: Client,
    expression: str,
    start: dict[str, float],
    maximize: bool,
    optimizer: str,
    learning_rate: float | None,
    steps: int | None,
    as_json: bool,
) -> None:
    """Go down EXPRESSION by gradient descent, and draw the way.

    \b
    sankofa minimize "(1 - x)**2 + 100*(y - x**2)**2" \\
        --start x=-1.2 --start y=1 --learning-rate 0.1 --steps 5000

    With --json: as POST /v1/minimize answers, with the path.
    """
    options: dict[str, Any] = {"goal": "maximize" if maximize else "minimize", "optimizer": {"type": optimizer}}
    if learning_rate is not None:
        options["optimizer"]["learning_rate"] = learning_rate
    if steps is not None:
        options["steps"] = steps
    found = client.minimize(expression, start, **options)
    if as_json:
        write_json(found)
        return
    console = Console(highlight=False)
    if console.is_terminal:
        way = [(float(point["step"]), point["value"]) for point in found["path"]]
        for row in chart({"value": way}, min(console.width, CHART_WIDTH), CHART_HEIGHT, logarithmic=True):
            console.print(row)
    best = found["best"]
    click.echo(f"value {best['value']:.10g} at " + ", ".join(f"{name} = {number:.10g}" for name, number in best["variables"].items()))
    click.echo(f"  {found['stopped_because']} after {found['step']:,} steps; gradient {short(found['gradient_norm'])}")
