"""`sankofa tenants` and `sankofa usage`: who shares the service, how much each may have, and how much of that is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.options import as_json, connected, write_json
from sankofa.commands.tables import show_table

QUOTAS = {
    "queued_jobs": "Jobs that wait, queued or paused.",
    "running_jobs": "Jobs that workers train at once.",
    "stored_bytes": "Bytes of datasets, snapshots and checkpoints.",
    "parameters": "Weights and biases of one network.",
    "worker_seconds_per_day": "Seconds of training a day, in UTC.",
    "requests_per_minute": "Requests of all its keys together.",
}


def limit(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The option's text, checked: a whole number, or `none` for no limit; None where it was not given."""
    if value is not None and value != "none" and not (value.isascii() and value.isdecimal()):
        raise click.BadParameter(f"expected a whole number, or none; got {value!r}", ctx, param)
    return value


def limited(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `command` an option for every quota."""
    for name, meaning in reversed(QUOTAS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar="NUMBER|none", callback=limit, help=meaning)(command)
    return command


def given(limits: dict[str, str | None]) -> dict[str, int | None]:
    """The quotas whose options were given."""
    return {name: None if text == "none" else int(text) for name, text in limits.items() if text is not None}


@click.group()
def tenants() -> None:
    """Add, list and limit tenants. Needs an admin key of the operator, which the first key is.

    What one tenant has, no other sees. `sankofa keys create NAME --tenant TENANT` makes its first key.
    """


@tenants.command("list")
@as_json
@connected
def list_tenants(client: Client, as_json: bool) -> None:
    """List the tenants by their ids. With --json: one per line."""
    found = client.tenants.list()
    if as_json:
        for tenant in found:
            write_json(tenant)
        return
    columns = ("tenant", "name", *(name.replace("_", " ") for name in QUOTAS))
    show_table(columns, ((tenant["id"], tenant["name"], *(_number(tenant["quotas"][name]) for name in QUOTAS)) for tenant in found))


@tenants.command("create")
@click.argument("tenant_id", metavar="TENANT")
@click.option("--name", help="What people call it. [its id]")
@limited
@as_json
@connected
def create_tenant(client: Client, /, tenant_id: str, name: str | None, as_json: bool, **limits: str | None) -> None:
    """Add TENANT: lower-case letters, digits, - and _. Quotas that are left out are not limited. With --json: the tenant."""
    _show(client.tenants.create(tenant_id, name, given(limits)), as_json)


@tenants.command("set")
@click.argument("tenant_id", metavar="TENANT")
@click.option("--name", help="What people call it.")
@limited
@as_json
@connected
def set_tenant(client: Client, /, tenant_id: str, name: str | None, as_json: bool, **limits: str | None) -> None:
    """Change the name or quotas of TENANT; what is left out stays, `none` takes a limit away. With --json: the tenant."""
    _show(client.tenants.change(tenant_id, name=name, quotas=given(limits)), as_json)


@click.command()
@click.option("--tenant", help="Of this tenant, for the operator. [your own]")
@as_json
@connected
def usage(client: Client, tenant: str | None, as_json: bool) -> None:
    """Show how much of its quotas a tenant has used. With --json: as GET /v1/usage tells it."""
    found = client.usage(tenant)
    if as_json:
        write_json(found)
        return
    rows = []
    for name, use in found["quotas"].items():
        rows.append(
            (
                name.replace("_", " "),
                _number(use["used"]),
                _number(use["limit"]),
                use["resets_at"] or "" if use["limit"] is not None else "",
            )
        )
    show_table((f"tenant {found['tenant']}", "used", "limit", "free again"), rows)


def _show(tenant: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(tenant)
        return
    limits = ", ".join(f"{name.replace('_', ' ')} {most:,}" for name, most in tenant["quotas"].items() if most is not None)
    click.echo(f"{tenant['id']}  {tenant['name']}  {limits or 'no limits'}")


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:,.10g}" if number == int(number) else f"{number:,.1f}"
