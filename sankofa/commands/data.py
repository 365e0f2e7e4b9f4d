"""`sankofa profile` and `sankofa audit`: what is in data, and what is wrong with it, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.exits import Exit
from sankofa.commands.options import as_json, connected, data_argument, dataset_of, write_json
from sankofa.commands.tables import show_table
from sankofa.plot import short

BARS = "▁▂▃▄▅▆▇█"
SHOWN_VALUES = 3


@click.command()
@data_argument("data")
@as_json
@connected
def profile(client: Client, data: str, as_json: bool) -> None:
    """Describe every column of DATA.

    DATA is a file, which is uploaded, or the id of a dataset.

    With --json: as GET /v1/datasets/{id}/profile tells it, with quantiles and histograms.
    """
    found = client.datasets.profile(dataset_of(client, data, missing="allow"))
    if as_json:
        write_json(found)
        return
    rows = []
    for column in found["columns"]:
        shape = "x".join(map(str, column["item_shape"]))
        numbers = column["numbers"]
        # What is left to say of texts: the most frequent ones.
        told = [f"{value['value']} {value['count']:,}" for value in (column["values"] or [])[:SHOWN_VALUES]]
        rows.append(
            (
                column["name"],
                column["dtype"] + (f" {shape}" if shape else ""),
                f"{column['missing']:,}",
                f"{column['distinct']:,}",
                *(["", "", ", ".join(told)] if numbers is None else [_number(numbers[name]) for name in ("minimum", "mean", "maximum")]),
                "" if numbers is None else sparks(numbers["histogram"]["counts"]),
            )
        )
    show_table(("column", "type", "missing", "distinct", "least", "mean", "most", "histogram"), rows)


@click.command()
@data_argument("data")
@click.option("--target", help="Column to be learnt: classes, giveaways and labels that disagree are looked at, too.")
@click.option("--group", help="Column that names whom a row belongs to: a speaker, patient, customer.")
@click.option("--fraction", type=click.FloatRange(0, 1, True, True), help="Part of the rows that a job will hold out for validation.")
@click.option("--seed", type=click.IntRange(min=0), help="The job's seed, which draws those rows.")
@click.option("--strict", is_flag=True, help="Exit with 1 where something is found for which results cannot be trusted.")
@as_json
@connected
def audit(
    client: Client,
    data: str,
    target: str | None,
    group: str | None,
    fraction: float | None,
    seed: int | None,
    strict: bool,
    as_json: bool,
) -> int:
    """Look for what would teach wrong priorities, worst first.

    DATA is a file, which is uploaded, the id of a dataset, or the id of a job: then its own target and split are looked at.
    With --json: as GET /v1/datasets/{id}/audit tells it.
    """
    if data.startswith("job_"):
        if told := [name for name, value in (("target", target), ("fraction", fraction), ("seed", seed)) if value is not None]:
            raise click.UsageError(f"--{told[0]}: a job has its own; leave it out, or give the dataset")
        found = client.job(data).audit(group)
    else:
        dataset = dataset_of(client, data, missing="allow")
        found = client.datasets.audit(dataset, target=target, group=group, fraction=fraction, seed=seed)
    if as_json:
        write_json(found)
    else:
        lines = [line for finding in found["findings"] for line in _told(finding)]
        click.echo("\n".join(lines) if lines else f"nothing found in {found['rows']:,} rows")
    return Exit.FAILED if strict and any(finding["severity"] == "error" for finding in found["findings"]) else Exit.DONE


def sparks(counts: Sequence[int]) -> str:
    """A histogram in as many letters; what is not empty is seen."""
    most = max(counts, default=0)
    return "".join(" " if count == 0 else BARS[min(len(BARS) - 1, count * len(BARS) // (most + 1))] for count in counts)


def _told(finding: dict[str, Any]) -> list[str]:
    where = f"  rows {', '.join(map(str, finding['rows'][:5]))}{', ...' if finding['count'] > 5 else ''}" if finding["rows"] else ""
    return [f"{finding['severity']}: {finding['code']}: {finding['message']}", f"  {finding['remedy']}", *([where] if where else [])]


def _number(number: float | None) -> str:
    return "" if number is None else short(number)
