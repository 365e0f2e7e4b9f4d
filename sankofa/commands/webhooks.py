"""`sankofa webhooks`: addresses that are told when a job starts or ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.filters import tags_of
from sankofa.commands.keys import duration
from sankofa.commands.options import as_json, connected, write_json
from sankofa.commands.tables import show_table

EVENTS = ("job.started", "job.paused", "job.succeeded", "job.failed", "job.stopped", "job.cancelled")
STATES = ("pending", "succeeded", "failed")

events = click.option(
    "--event", "events", multiple=True, type=click.Choice(EVENTS), help="May be given several times. [every end of a job]"
)
tags = click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Only jobs with this tag. May be given several times.")


@click.group()
def webhooks() -> None:
    """Have an address told when a job starts or ends, signed as standardwebhooks.com has it.

    The receiver verifies with `sankofa.verify_webhook`, or any library for Standard Webhooks.
    """


@webhooks.command("list")
@as_json
@connected
def list_webhooks(client: Client, as_json: bool) -> None:
    """List the webhooks, newest first. With --json: one per line."""
    found = client.webhooks.list()
    if as_json:
        for webhook in found:
            write_json(webhook)
        return
    show_table(("webhook", "name", "url", "events", "tags", "state"), (_row(webhook) for webhook in found))


@webhooks.command("create")
@click.argument("address", metavar="URL")
@click.option("--name", help="What it is for.")
@events
@tags
@as_json
@connected
def create_webhook(client: Client, address: str, name: str | None, events: Sequence[str], tags: Sequence[str], as_json: bool) -> None:
    """Have URL told of jobs, and write its secret to stdout. With --json: all that is known of it."""
    _show_secret(client.webhooks.create(address, events or None, name=name, tags=tags_of(tags)), as_json)


@webhooks.command("set")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--to", "address", metavar="URL", help="Another address.")
@click.option("--name", help="What it is for.")
@events
@tags
@click.option("--enable/--disable", "enabled", default=None, help="Disabled, what waits is dropped and nothing more is recorded.")
@as_json
@connected
def set_webhook(
    client: Client,
    webhook_id: str,
    address: str | None,
    name: str | None,
    events: Sequence[str],
    tags: Sequence[str],
    enabled: bool | None,
    as_json: bool,
) -> None:
    """Change what is named of WEBHOOK; what is left out stays. With --json: the webhook as it is then."""
    given = {"url": address, "name": name, "events": list(events) or None, "tags": tags_of(tags) or None, "enabled": enabled}
    _show(client.webhooks.change(webhook_id, **{key: value for key, value in given.items() if value is not None}), as_json)


@webhooks.command("rotate")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option(
    "--overlap",
    metavar="TIME",
    callback=duration,
    default="1d",
    show_default=True,
    help="How long the old secret signs beside the new one.",
)
@as_json
@connected
def rotate_webhook(client: Client, webhook_id: str, overlap: int, as_json: bool) -> None:
    """Give WEBHOOK a new secret, and write that to stdout. With --json: all that is known of it."""
    _show_secret(client.webhooks.rotate(webhook_id, overlap_seconds=overlap), as_json)


@webhooks.command("delete")
@click.argument("webhook_ids", nargs=-1, required=True, metavar="WEBHOOK...")
@as_json
@connected
def delete_webhooks(client: Client, webhook_ids: Sequence[str], as_json: bool) -> None:
    """Delete WEBHOOKs, and what waits to be sent to them. With --json: their ids, one per line."""
    for webhook_id in webhook_ids:
        client.webhooks.delete(webhook_id)
        write_json({"id": webhook_id, "deleted": True}) if as_json else click.echo(f"{webhook_id} deleted")


@webhooks.command("test")
@click.argument("webhook_id", metavar="WEBHOOK")
@as_json
@connected
def test_webhook(client: Client, webhook_id: str, as_json: bool) -> None:
    """Send WEBHOOK a delivery that tells of nothing; `deliveries` says what became of it. With --json: the delivery."""
    _show_delivery(client.webhooks.test(webhook_id), as_json)


@webhooks.command("deliveries")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--state", type=click.Choice(STATES), help="Only deliveries in this state.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show at most this many.")
@as_json
@connected
def list_deliveries(client: Client, webhook_id: str, state: str | None, limit: int, as_json: bool) -> None:
    """List what was sent to WEBHOOK and what is to be sent, newest first. With --json: one per line."""
    found = (delivery for delivery, _ in zip(client.webhooks.deliveries(webhook_id, state=state), range(limit), strict=False))
    if as_json:
        for delivery in found:
            write_json(delivery)
        return
    columns = ("delivery", "type", "job", "state", "attempts", "next attempt", "last answer")
    show_table(
        columns,
        (
            (
                one["id"],
                one["type"],
                one["job"] or "",
                one["state"],
                str(one["attempts"]),
                one["next_attempt_at"] or "",
                one["error"] or str(one["status"] or ""),
            )
            for one in found
        ),
    )


@webhooks.command("redeliver")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.argument("delivery_ids", nargs=-1, required=True, metavar="DELIVERY...")
@as_json
@connected
def redeliver(client: Client, webhook_id: str, delivery_ids: Sequence[str], as_json: bool) -> None:
    """Send DELIVERYs of WEBHOOK again, now, with the same ids and bodies. With --json: the deliveries, one per line."""
    for delivery_id in delivery_ids:
        _show_delivery(client.webhooks.redeliver(webhook_id, delivery_id), as_json)


def _row(webhook: dict[str, Any]) -> tuple[str, ...]:
    state = "on" if webhook["enabled"] else f"off ({webhook['disabled_reason']})" if webhook["disabled_reason"] else "off"
    failing = f", failing since {webhook['failing_since']}" if webhook["enabled"] and webhook["failing_since"] else ""
    told = " ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in webhook["tags"].items())
    return webhook["id"], webhook["name"] or "", webhook["url"], " ".join(webhook["events"]), told, state + failing


def _show(webhook: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(webhook)
    else:
        click.echo("  ".join(part for part in _row(webhook) if part))


def _show_secret(made: dict[str, Any], as_json: bool) -> None:
    """The secret on stdout, so that it can be piped to where it is used; what is known of the webhook on stderr."""
    if as_json:
        write_json(made)
        return
    click.echo(f"{made['id']}: {made['url']} is told of {', '.join(made['events'])}. Its secret is shown this once:", err=True)
    if made["secret"] is None:
        click.echo(f"An earlier try did it, and its answer was lost. `sankofa webhooks rotate {made['id']}` gives another.", err=True)
    else:
        click.echo(made["secret"])


def _show_delivery(delivery: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(delivery)
    else:
        click.echo(f"{delivery['id']}  {delivery['type']}  {delivery['state']}")
