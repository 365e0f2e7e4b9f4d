"""`sankofa keys`: who may send requests to the service, and what each may do."""

from __future__ import annotations

import re
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, write_json
from sankofa.commands.tables import show_table

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
STATES = ("active", "expired", "revoked")


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """The seconds that an option's text means; None where it was not given."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
    if not found:
        raise click.BadParameter(f"expected a time like 90s, 30m, 12h or 7d; got {value!r}", ctx, param)
    return int(found[1]) * UNITS[found[2] or "s"]


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys. Needs a key with the scope admin.

    A key itself is shown once, when it is made: only its digest is kept.
    """


@keys.command("list")
@click.option("--tenant", help="Only keys of this tenant.")
@click.option("--state", type=click.Choice(STATES), help="Only keys in this state.")
@as_json
@connected
def list_keys(client: Client, tenant: str | None, state: str | None, as_json: bool) -> None:
    """List the keys, newest first. With --json: one per line."""
    found = client.keys.list(tenant=tenant, state=state)
    if as_json:
        for key in found:
            write_json(key)
        return
    columns = ("key", "name", "tenant", "scopes", "state", "begins", "last used", "ends")
    show_table(
        columns,
        (
            (
                key["id"],
                key["name"],
                key["tenant"],
                " ".join(key["scopes"]),
                key["state"],
                f"{key['hint']}..." if key["hint"] else "",
                key["last_used_at"] or "never",
                key["revoked_at"] or key["expires_at"] or "never",
            )
            for key in found
        ),
    )


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["read", "write", "admin"]), help="May be given several times. [read, write]"
)
@click.option("--tenant", help="Whose key it is. [your own]")
@click.option("--expires-after", metavar="TIME", callback=duration, help="How long it opens: 90s, 30m, 12h, 7d. [for ever]")
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="How much it may send. [as much as its tenant]")
@as_json
@connected
def create_key(
    client: Client,
    name: str,
    scopes: tuple[str, ...],
    tenant: str | None,
    expires_after: int | None,
    requests_per_minute: int | None,
    as_json: bool,
) -> None:
    """Make a key called NAME and write it to stdout. With --json: all that is known of it."""
    made = client.keys.create(
        name,
        scopes or ("read", "write"),
        tenant=tenant,
        expires_after_seconds=expires_after,
        requests_per_minute=requests_per_minute,
    )
    _show(made, as_json)


@keys.command("rotate")
@click.argument("key_id", metavar="KEY")
@click.option(
    "--overlap",
    metavar="TIME",
    callback=duration,
    default="1h",
    show_default=True,
    help="How long the old key goes on opening; 0 where it was leaked.",
)
@as_json
@connected
def rotate_key(client: Client, key_id: str, overlap: int, as_json: bool) -> None:
    """Replace KEY (its id) by a new one that may do the same, and write that to stdout. With --json: all that is known of it."""
    _show(client.keys.rotate(key_id, overlap_seconds=overlap), as_json)


@keys.command("revoke")
@click.argument("key_ids", nargs=-1, required=True, metavar="KEY...")
@as_json
@connected
def revoke_keys(client: Client, key_ids: tuple[str, ...], as_json: bool) -> None:
    """End KEYs (their ids) for ever. With --json: the keys as they are then, one per line."""
    for key_id in key_ids:
        client.keys.revoke(key_id)
        write_json(client.keys.get(key_id)) if as_json else click.echo(f"{key_id} revoked")


def _show(made: dict[str, Any], as_json: bool) -> None:
    """The key on stdout, so that it can be piped to where it is used; what is known of it on stderr."""
    if as_json:
        write_json(made)
        return
    ends = f"until {made['expires_at']}" if made["expires_at"] else "for ever"
    click.echo(f"{made['id']}: {', '.join(made['scopes'])} of tenant {made['tenant']}, {ends}. It is shown this once:", err=True)
    if made["key"] is None:
        click.echo(f"The key was made by an earlier try whose answer was lost. `sankofa keys rotate {made['id']}` gives one.", err=True)
    else:
        click.echo(made["key"])
