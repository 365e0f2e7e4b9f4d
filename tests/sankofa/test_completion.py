"""What Tab completes, and the scripts that ask for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from sankofa.commands import cli, run
from sankofa.commands.completion import SHELLS, dataset_ids, job_ids, profiles
from tests.sankofa.fake_service import DATASET, Answer, FakeService, Unplugged, job_document


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_SANKOFA_COMPLETE={shell}_complete" in script
    assert run(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["script"].strip() == script.strip()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_accepted_by_their_shells(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    run(["completion", shell])
    checked = subprocess.run([shell, "-n"], input=capsys.readouterr().out, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    (tmp_path / "sankofa").write_text(f'#!/bin/sh\nexec {sys.executable} -m sankofa "$@"\n')
    (tmp_path / "sankofa").chmod(0o755)
    commands = (
        'eval "$(sankofa completion bash)"\n'
        'COMP_WORDS=(sankofa tra) COMP_CWORD=1; _sankofa_completion sankofa; echo "${COMPREPLY[@]}"\n'
        'COMPREPLY=(); COMP_WORDS=(sankofa train --pre) COMP_CWORD=2; _sankofa_completion sankofa; echo "${COMPREPLY[@]}"\n'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", commands], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["train", "--preflight"], done.stderr


def test_ids_come_from_the_service_and_nothing_where_it_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    page = {"data": [job_document(), job_document(id="job_2", name="mine")], "next_cursor": None}
    service = FakeService(Answer(200, page), Answer(200, {"data": [DATASET], "next_cursor": None}), Unplugged())
    told: list[object] = []

    def client(**options: object) -> object:
        told.append(options)
        return service.client()

    monkeypatch.setattr("sankofa.commands.completion.Client", client)
    context = cli.make_context("sankofa", ["jobs"], resilient_parsing=True)
    context.params = {"url": "http://there.example"}
    parameter = cli.params[0]
    assert [(item.value, item.help) for item in job_ids(context, parameter, "job_2")] == [("job_2", "running mine")]
    assert [item.value for item in dataset_ids(context, parameter, "ds_")] == ["ds_1"]
    assert [item.type for item in dataset_ids(context, parameter, "dig")] == ["file"]
    service.answers = [Unplugged()] * 9
    monkeypatch.setattr("sankofa.connection.time.sleep", lambda seconds: None)
    assert job_ids(context, parameter, "") == []
    assert told[0] == {"url": "http://there.example", "api_key": None, "profile": None, "timeout_seconds": 1.0, "retries": 0}


def test_models_are_completed_where_they_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"data": [{"name": "digits", "description": "Figures.", "aliases": {"production": 2}}], "next_cursor": None}
    jobs = {"data": [job_document()], "next_cursor": None}

    def found(words: list[str], typed: str) -> list[str]:
        service = FakeService(lambda request: Answer(200, models if request.path == "/v1/models" else jobs))
        service.answers *= 2
        monkeypatch.setattr("sankofa.commands.completion.Client", lambda **_: service.client())
        return [item.value for item in ShellComplete(cli, {}, "sankofa", "_SANKOFA_COMPLETE").get_completions(words, typed)]

    for command in ("predict", "explain", "weights", "card", "fork"):
        assert found([command], "") == ["job_1", "digits", "digits@production"]
        assert found([command], "dig") == ["digits", "digits@production"]
        assert found([command], "digits@") == ["digits@production"]
        assert found([command], "job_") == ["job_1"]
    assert found(["models", "versions"], "d") == ["digits"]
    assert found(["models", "card"], "d") == ["digits", "digits@production"]
    assert found(["models", "add", "digits"], "") == ["job_1"]


def test_profiles_come_from_the_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sankofa").mkdir()
    (tmp_path / "sankofa" / "config.toml").write_text("[profiles.work]\nurl = 'http://x'\n[profiles.lab]\nurl = 'http://y'\n")
    context = cli.make_context("sankofa", ["jobs"], resilient_parsing=True)
    assert [item.value for item in profiles(context, cli.params[0], "w")] == ["work"]
    (tmp_path / "sankofa" / "config.toml").write_text("[")
    assert profiles(context, cli.params[0], "") == []


def test_config_says_what_is_used_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SANKOFA_URL", "http://there.example")
    monkeypatch.setenv("SANKOFA_API_KEY", "sk_secret")
    assert run(["config"]) == 0
    said = capsys.readouterr().out
    assert "http://there.example\n          from SANKOFA_URL" in said
    assert "found, from SANKOFA_API_KEY" in said
    assert "which does not exist" in said
    assert run(["config", "--json"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["key_source"] == "SANKOFA_API_KEY"
    assert "sk_secret" not in said + text
