"""`sankofa completion`: what a shell needs to complete commands, options and ids when Tab is pressed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import click
from click.shell_completion import CompletionItem, get_completion_class

from sankofa.client import Client
from sankofa.errors import SankofaError
from sankofa.profiles import profile_names

SHELLS = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/config.fish"}
# A key that was pressed is not kept waiting by a service that does not answer.
PATIENCE_SECONDS = 1.0
MOST_IDS = 30

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout and nothing else.")
def completion(shell: str, as_json: bool) -> None:
    """Write the script by which Tab completes words of `sankofa`.

    Commands, options, profiles, files, ids of jobs and datasets, and names of models.

    \b
    bash   echo 'eval "$(sankofa completion bash)"' >> ~/.bashrc
    zsh    echo 'eval "$(sankofa completion zsh)"' >> ~/.zshrc
    fish   echo 'sankofa completion fish | source' >> ~/.config/fish/config.fish

    With --json: the script, and the file of yours that should call it.
    """
    # Here, because the group of all commands imports this one.
    from sankofa.commands import cli
    from sankofa.commands.options import write_json

    kind = get_completion_class(shell)
    if kind is None:
        raise AssertionError(f"click completes for {', '.join(SHELLS)}")
    script = kind(cli, {}, "sankofa", "_SANKOFA_COMPLETE").source()
    write_json({"shell": shell, "script": script, "called_by": SHELLS[shell]}) if as_json else click.echo(script)


def _from_service(found: Callable[[Client], Iterable[tuple[str, str]]]) -> Complete:
    """Completes with ids, and what they mean, of the service that the words typed so far name; with nothing where it does not answer."""

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        named = {name: context.params.get(name) for name in ("url", "api_key", "profile")}
        try:
            with Client(**named, timeout_seconds=PATIENCE_SECONDS, retries=0) as client:
                items = list(itertools.islice(found(client), MOST_IDS))
        except SankofaError:
            items = []
        return [CompletionItem(value, help=meaning) for value, meaning in items if value.startswith(typed)]

    return complete


job_ids = _from_service(lambda client: ((job.id, f"{job.state} {job.name or ''}".strip()) for job in client.jobs()))
_model_names = _from_service(lambda client: _referred(client))
_dataset_ids = _from_service(lambda client: ((dataset.id, dataset.name or "") for dataset in client.datasets.list()))


def _referred(client: Client) -> Iterator[tuple[str, str]]:
    """Every model as a command may name it: by itself, and at each of its aliases."""
    for model in client.models.list():
        yield model["name"], model["description"] or ""
        for alias, version in model["aliases"].items():
            yield f"{model['name']}@{alias}", f"version {version}"


def sources(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Jobs where an id was begun, models where something else was, both where nothing is typed yet."""
    jobs = job_ids(context, parameter, typed) if not typed or "job_".startswith(typed[:4]) else []
    return [*jobs, *([] if typed.startswith("job_") else _model_names(context, parameter, typed))]


def model_names(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Models, without their aliases."""
    return [item for item in _model_names(context, parameter, typed) if "@" not in item.value]


def model_references(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Models, and what their aliases stand for."""
    return _model_names(context, parameter, typed)


def dataset_ids(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Datasets where an id was begun, else files."""
    return _dataset_ids(context, parameter, typed) if typed.startswith("ds_") else [CompletionItem(typed, type="file")]


def profiles(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Profiles of the configuration file."""
    try:
        return [CompletionItem(name) for name in profile_names() if name.startswith(typed)]
    except SankofaError:
        return []
