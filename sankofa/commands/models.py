"""`sankofa models`: trained networks under a name, with versions and aliases."""

from __future__ import annotations

from typing import Any

import click

from sankofa.client import Client
from sankofa.commands.completion import job_ids, model_names, model_references
from sankofa.commands.options import as_json, connected, write_json
from sankofa.commands.spec import read_spec
from sankofa.commands.tables import show_table
from sankofa.errors import NotFound

# What a training spec says that a network which is trained already does not need.
OF_TRAINING = {"dataset", "name", "tags", "priority", "parent", "sample_weight", "optimizer", "batch_size", "epochs", "accumulate"}
OF_TRAINING |= {"max_seconds", "early_stopping", "seed", "shuffle", "dtype", "validation", "test", "fold", "group", "split_column"}
OF_TRAINING |= {"preprocess", "preprocess_target", "augment", "report_every_steps", "diagnostics", "metrics"}


@click.group()
def models() -> None:
    """Keep trained networks under a name, version after version; an alias such as production stands for one of them.

    `sankofa weights`, `predict`, `explain`, `card` and `fork` take a model in place of a job: digits@production, digits@3, or
    digits for the newest.
    """


@models.command("list")
@as_json
@connected
def list_models(client: Client, as_json: bool) -> None:
    """List the models. With --json: one per line."""
    found = client.models.list()
    if as_json:
        for model in found:
            write_json(model)
        return
    show_table(("model", "newest", "aliases", "description"), (_row(model) for model in found))


@models.command("create")
@click.argument("name", metavar="MODEL")
@click.option("--description", help="What it is for.")
@as_json
@connected
def create_model(client: Client, name: str, description: str | None, as_json: bool) -> None:
    """Add MODEL: lower-case letters, digits, dots, - and _. With --json: the model."""
    made = client.models.create(name, description)
    write_json(made) if as_json else click.echo(f"{made['name']} has no version yet; `sankofa models add {made['name']} JOB` makes one")


@models.command("add")
@click.argument("name", metavar="MODEL", shell_complete=model_names)
@click.argument("job_id", metavar="JOB", shell_complete=job_ids)
@click.option("--step", default="best", show_default=True, help="best, last, or the step of a snapshot.")
@click.option("--description", help="What is new about it.")
@as_json
@connected
def add_version(client: Client, name: str, job_id: str, step: str, description: str | None, as_json: bool) -> None:
    """Add what JOB has learned as the next version of MODEL. With --json: the version."""
    made = client.models.add(name, job_id, int(step) if step.isdecimal() else step, description=description)
    write_json(made) if as_json else click.echo(
        f"{name}@{made['version']}  {made['bytes']:,} bytes, step {made['step']:,} of {made['job']}"
    )


@models.command("import")
@click.argument("name", metavar="MODEL", shell_complete=model_names)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--network", type=click.Path(exists=True, dir_okay=False), help="YAML or JSON: the network, and what is known of its inputs.")
@click.option("--description", help="What is new about it.")
@as_json
@connected
def import_version(client: Client, name: str, file: str, network: str | None, description: str | None, as_json: bool) -> None:
    """Add the network in FILE (safetensors or npz) as the next version of MODEL. With --json: the version.

    The spec of --network says `network`, and as much as is known of `inputs`, `input_shape`, `target`, `loss`, `classes` and
    `preprocessing`; it may be a training spec. Tensors are named as in the equal torch.nn.Sequential. A file that `sankofa weights` wrote
    needs no spec.
    """
    made = client.models.import_file(name, file, None if network is None else definition_of(read_spec(network)), description=description)
    write_json(made) if as_json else click.echo(
        f"{name}@{made['version']}  {made['bytes']:,} bytes, {made['signature']['parameters']:,} parameters"
    )


@models.command("card")
@click.argument("reference", metavar="MODEL", shell_complete=model_references)
@as_json
@connected
def model_card(client: Client, reference: str, as_json: bool) -> None:
    """Write the model card of MODEL (digits@production, digits@3; digits is its newest version) as Markdown. With --json: as JSON."""
    write_json(client.models.card(reference)) if as_json else click.echo(client.models.card_text(reference), nl=False)


@models.command("versions")
@click.argument("name", metavar="MODEL", shell_complete=model_names)
@as_json
@connected
def list_versions(client: Client, name: str, as_json: bool) -> None:
    """List the versions of MODEL with their metrics, newest first. With --json: one per line."""
    found = client.models.versions(name)
    if as_json:
        for version in found:
            write_json(version)
        return
    show_table(("version", "aliases", "from", "loss", "validation loss", "metrics", "made"), (_version(each) for each in found))


@models.command("alias")
@click.argument("name", metavar="MODEL", shell_complete=model_names)
@click.argument("alias")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--history", is_flag=True, help="List what it stood for, newest first.")
@click.option("--delete", is_flag=True, help="Let it stand for nothing any more.")
@as_json
@connected
def alias(client: Client, name: str, alias: str, version: int | None, history: bool, delete: bool, as_json: bool) -> None:
    """Let ALIAS of MODEL stand for VERSION; without VERSION, say what it stands for. With --json: the alias.

    Whoever moves it at the same moment is told, or you are: nobody's move is lost unseen.
    """
    if history + delete + (version is not None) > 1:
        raise click.UsageError("give one of VERSION, --history and --delete")
    if history:
        moves = list(client.models.history(name, alias))
        if as_json:
            write_json(moves)
        else:
            show_table(("version", "since", "moved with"), ((str(move["version"] or "-"), move["at"], move["key"] or "") for move in moves))
        return
    try:
        standing: dict[str, Any] | None = client.models.alias(name, alias)
    except NotFound:
        if version is None:
            raise
        standing = None
    if delete and standing:
        client.models.delete_alias(name, alias, revision=standing["revision"])
        write_json(standing) if as_json else click.echo(f"{name}@{alias} stands for nothing any more; it stood for {standing['version']}")
        return
    if version is not None:
        before = "" if standing is None else f"; it stood for {standing['version']}"
        standing = client.models.move(name, alias, version, revision=None if standing is None else standing["revision"])
    else:
        before = ""
    write_json(standing) if as_json else click.echo(f"{name}@{alias} stands for {standing and standing['version']}{before}")


@models.command("delete")
@click.argument("name", metavar="MODEL", shell_complete=model_names)
@click.argument("version", type=click.IntRange(min=1), required=False)
@as_json
@connected
def delete(client: Client, name: str, version: int | None, as_json: bool) -> None:
    """Delete VERSION of MODEL for good; without VERSION, the model and all its versions. Refused while an alias stands for it."""
    freed_bytes = client.models.delete(name) if version is None else client.models.delete_version(name, version)
    gone = name if version is None else f"{name}@{version}"
    write_json({"deleted": gone, "freed_bytes": freed_bytes}) if as_json else click.echo(f"{gone} deleted, {freed_bytes:,} bytes freed")


def definition_of(document: dict[str, Any]) -> dict[str, Any]:
    """What the tensors of a file mean, out of a spec: of a training spec, that part of it which tells so; of layers, a network.

    Raises click.UsageError where steps are named that were fitted to something which is not told.
    """
    if "network" not in document and "layers" in document:
        document = {"network": document}
    if document.get("preprocess") and "preprocessing" not in document:
        raise click.UsageError("--network: preprocess says which steps, not what they were fitted to; say that under preprocessing")
    inputs = document.get("inputs")
    told = (
        {**document, "inputs": [{"name": each} if isinstance(each, str) else each for each in inputs]}
        if isinstance(inputs, list)
        else document
    )
    return {name: value for name, value in told.items() if name not in OF_TRAINING}


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    aliases = ", ".join(f"{alias} {version}" for alias, version in model["aliases"].items())
    return model["name"], str(model["newest_version"] or "-"), aliases, model["description"] or ""


def _version(version: dict[str, Any]) -> tuple[str, ...]:
    source = "a file" if version["job"] is None else f"{version['job']} at {version['step']:,}"
    metrics = ", ".join(f"{name} {_number(value)}" for name, value in version["metrics"].items())
    losses = (_number(version["loss"]), _number(version["validation_loss"]))
    return str(version["version"]), ", ".join(version["aliases"]), source, *losses, metrics, version["created_at"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
