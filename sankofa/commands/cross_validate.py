"""`sankofa cross-validate`: a training for each of several folds, and what they say together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.completion import dataset_ids
from sankofa.commands.exits import Exit, end_of
from sankofa.commands.options import as_json, connected, dataset_of, missing, timeout, write_json
from sankofa.commands.spec import changed, read_spec
from sankofa.commands.tables import show_table
from sankofa.cross_validations import CrossValidation, spread_text
from sankofa.progress import measure


@click.command("cross-validate")
@click.argument("spec", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--data", shell_complete=dataset_ids, help="File to train on, or the id of a dataset; else the spec's `dataset`.")
@missing
@click.option("--target", help="Column to be learnt; else the spec's `target`.")
@click.option("--folds", type=int, help="How many folds; else the spec's `folds`, else 5.")
@click.option("--set", "settings", multiple=True, metavar="PLACE=VALUE", help="Put it into the spec: --set optimizer.learning_rate=0.01")
@click.option("--name", help="What to call it, and its jobs.")
@click.option("--seed", type=int, help="Seed of all that is random, of the folds too; else the spec's, else one is drawn.")
@timeout
@as_json
@connected
def cross_validate(
    client: Client,
    spec: str,
    data: str | None,
    missing: str,
    target: str | None,
    folds: int | None,
    settings: tuple[str, ...],
    name: str | None,
    seed: int | None,
    timeout_seconds: float | None,
    as_json: bool,
) -> int:
    """Train what SPEC describes once for each of several folds, wait, and show mean and deviation.

    SPEC is what `train` takes, without what else divides the rows (validation, fold, split_column); - reads stdin. Or it is the id of a
    cross-validation (cv_...), which is waited for and shown. Ctrl-C ends the waiting, not the folds:
    `sankofa cancel --cross-validation ID` ends those. The deviation is that of the sample.

    \b
    Exit codes: 0 every fold succeeded; else that of the first that did not:
      1 failed   7 cancelled   8 stopped   124 --timeout is over

    With --json: the cross-validation at its end, as GET /v1/cross_validations/{id} tells it.
    """
    if spec.startswith("cv_") and not Path(spec).exists():
        given = {"--data": data, "--target": target, "--folds": folds, "--set": settings, "--name": name, "--seed": seed}
        if told := [option for option, value in given.items() if value not in (None, ())]:
            raise click.UsageError(f"{spec} is there already and does not change: leave {', '.join(told)} out")
        found = client.cross_validation(spec)
    else:
        document = changed(read_spec(spec), settings)
        document |= {
            key: value for key, value in (("target", target), ("folds", folds), ("name", name), ("seed", seed)) if value is not None
        }
        if data is not None:
            document["dataset"] = dataset_of(client, data, missing=missing)
        if "dataset" not in document:
            raise click.UsageError(f"{spec} names no dataset; add --data FILE or --data ds_...")
        found = client.submit_cross_validation(document)
        if not as_json:
            click.echo(f"{found.id}  {found.document['folds']} folds queued", err=True)
    found = found.wait(timeout_seconds) if as_json else found.watch(timeout_seconds)
    write_json(found.document) if as_json else show(found)
    return next((code for fold in found.folds if (code := end_of(fold["state"]))), Exit.DONE)


def show(found: CrossValidation) -> None:
    """A row for each fold, and below them mean and deviation of those that have a result."""
    validation, test = found.summary["validation"], found.summary["test"] or {}
    columns = [*validation, *(f"test {name}" for name in test)]
    rows = [
        (str(fold["fold"]), fold["job"], fold["state"], f"{fold['validation_rows']:,}", best_epoch(fold), *numbers(fold, validation, test))
        for fold in found.folds
    ]
    spreads = [spread_text(spread) for spread in (*validation.values(), *test.values())]
    counted = f"{found.summary['folds']} of {found.document['folds']} folds"
    heads = [name.replace("_", " ") for name in columns]
    show_table(("fold", "job", "state", "rows", "best epoch", *heads), [*rows, ("mean", counted, "", "", "", *spreads)])
    for fold in found.folds:
        if fold["reason"]:
            click.echo(f"fold {fold['fold']} failed: {fold['reason']['code']}: {fold['reason']['message']}")


def best_epoch(fold: dict[str, Any]) -> str:
    """After how many epochs the fold was learnt best."""
    return "" if fold["best"] is None else str(fold["best"]["epoch"])


def numbers(fold: dict[str, Any], validation: dict[str, Any], test: dict[str, Any]) -> Iterator[str]:
    """What one fold says of the loss and each metric that is told of any."""
    best, tested = fold["best"] or {}, fold["test"] or {}
    of_best = {"loss": best.get("validation_loss"), **best.get("metrics", {})}
    of_test = {"loss": tested.get("loss"), **tested.get("metrics", {})}
    for told, names in ((of_best, validation), (of_test, test)):
        for name in names:
            value = told.get(name)
            yield "" if value is None else measure(value)
