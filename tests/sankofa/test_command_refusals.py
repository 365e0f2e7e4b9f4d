"""What commands say where something is wrong, and their exit codes, against scripted answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sankofa.commands import cli, run
from sankofa.commands.exits import MEANINGS, Exit
from tests.sankofa.conftest import Use
from tests.sankofa.fake_service import Answer, Unplugged, job_document, problem


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "job_1"], "--data FILE.csv or by --inputs"),
        (["predict", "job_1", "--batch", "ds_1", "--inputs", "[]"], "by --batch FILE, for a job"),
        (["predict", "job_1", "--batch", "ds_1", "--output", "a.txt"], "ends in .csv or .npz"),
        (["predict", "job_1", "--inputs", "{"], "--inputs is not JSON"),
        (["predict", "job_1", "--inputs", "[" * 100_000], "--inputs is not JSON"),
        (["train", "nowhere.json"], "nowhere.json: there is no such file"),
        (["train", "{spec}"], "names no dataset"),
        (["train", "{spec}", "--data", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["train", "{spec}", "--data", "ds_1", "--output", "w.h5"], "ends in .safetensors"),
        (["train", "{table}", "--data", "ds_1"], "is not JSON"),
        (["weights", "job_1", "--output", "-", "--json"], "both want stdout"),
        (["nonsense"], "No such command"),
        (["watch"], "Missing argument"),
        (["watch", "job_1", "--timeout", "-1"], "--timeout"),
    ],
)
def test_a_command_that_cannot_be_understood_is_code_2(
    use: Use, spec: str, table: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Answer(200, job_document()))
    assert (
        run([argument.format(spec=spec, table=table) if argument[:1] == "{" and len(argument) > 1 else argument for argument in arguments])
        == Exit.USAGE
    )
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_refusal_is_code_4_and_lists_every_fault(use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"pointer": f"/network/layers/{n}", "code": "x", "message": f"fault {n}"} for n in range(2)]
    use(problem(422, errors=errors))
    assert run(["train", spec, "--data", "ds_1", "--json"]) == Exit.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert "/network/layers/0: fault 0\n  /network/layers/1: fault 1" in said.err


def test_a_single_fault_is_told_once_with_its_place(use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"pointer": "/epochs", "code": "x", "message": "expected at least 1, got 0"}
    use(problem(422, detail=fault["message"], errors=[fault]))
    assert run(["train", spec, "--data", "ds_1"]) == Exit.REFUSED
    assert capsys.readouterr().err == "sankofa: No\n  /epochs: expected at least 1, got 0\n"


def test_a_fault_of_a_query_parameter_is_told_as_such(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"pointer": "", "parameter": "state", "code": "x", "message": "expected queued or running, got 'ended'"}
    use(problem(422, detail=f"query parameter state: {fault['message']}", errors=[fault]))
    assert run(["jobs", "--state", "ended"]) == Exit.REFUSED
    assert capsys.readouterr().err == "sankofa: No\n  query parameter state: expected queued or running, got 'ended'\n"


def commands(group: click.Group) -> Iterator[click.Command]:
    """Every command of a group and of the groups in it."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", list(commands(cli)), ids=lambda command: str(command.name))
def test_every_command_can_answer_in_json(command: click.Command) -> None:
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


def test_no_service_is_code_3(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(*[Unplugged()] * 6)
    assert run(["jobs"]) == Exit.UNREACHABLE
    assert "cannot reach http://service.example" in capsys.readouterr().err


def test_every_exit_code_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(MEANINGS) == set(Exit)
    assert run(["--help"]) == Exit.DONE
    said = capsys.readouterr().out
    assert all(f"{code:>3}  {meaning}" in said for code, meaning in MEANINGS.items())


def test_the_documentation_tells_every_exit_code() -> None:
    document = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    table = document[document.index("| code | meaning |") :]
    told = {int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in cell.split(",")}
    assert told == set(Exit)
