"""Options by which commands choose jobs: state, kind, name, dataset, cross-validation, tags, and when they were made."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click


class Moment(click.ParamType[str]):
    """A time as the API takes it. A date is its first moment; what names no offset is meant as this machine's time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"expected a time as 2026-01-31 or 2026-01-31T12:00:00Z, got {value!r}", param, ctx)
        return (moment if moment.tzinfo else moment.astimezone()).isoformat()


class NoneOrMoment(Moment):
    """A time, or the word none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return "none" if value == "none" else super().convert(value, param, ctx)


MOMENT, NONE_OR_MOMENT = Moment(), NoneOrMoment()
CONDITIONS = (
    click.option(
        "--state", "states", multiple=True, help="In this state: queued, running, paused, succeeded, ...; may be told several times."
    ),
    click.option("--kind", "kinds", multiple=True, help="Of this kind: train, predict, explain; may be told several times."),
    click.option("--name", help="Of this name."),
    click.option("--dataset", metavar="DATASET", help="On the dataset of this id."),
    click.option("--cross-validation", metavar="ID", help="Folds of this cross-validation."),
    click.option("--tag", "tags", multiple=True, metavar="NAME[=VALUE]", help="With this tag; of several, with all of them."),
    click.option("--created-after", type=MOMENT, metavar="TIME", help="Made at this time or later: 2026-01-31, 2026-01-31T12:00:00Z."),
    click.option("--created-before", type=MOMENT, metavar="TIME", help="Made before this time."),
)


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` an option for every condition; `conditions` reads what they were given."""
    for option in reversed(CONDITIONS):
        command = option(command)
    return command


def conditions(
    *,
    states: Sequence[str],
    kinds: Sequence[str],
    name: str | None,
    dataset: str | None,
    cross_validation: str | None,
    tags: Sequence[str],
    created_after: str | None,
    created_before: str | None,
) -> dict[str, Any]:
    """What was told of them, as `Client.jobs` and `Client.request_all` take it."""
    valued = {tag: value for tag, mark, value in (each.partition("=") for each in tags) if mark}
    told = {
        "state": list(states),
        "kind": list(kinds),
        "name": name,
        "dataset": dataset,
        "cross_validation": cross_validation,
        "tags": valued,
        "tagged": [tag for tag in tags if "=" not in tag],
        "created_after": created_after,
        "created_before": created_before,
    }
    return {key: value for key, value in told.items() if value}


def tags_of(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE, ... as tags: a value that is JSON is what it says, any other is text. Raises click.UsageError."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--tag: expected NAME=VALUE, got {text!r}")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        if isinstance(parsed, float) and not math.isfinite(parsed):
            raise click.UsageError(f"--tag: {name}: expected text or a finite number, got {value}")
        found[name] = value if isinstance(parsed, dict | list) else parsed
    return found
