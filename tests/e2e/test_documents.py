"""What the README and the lessons show is what the service does: their commands are run, their answers compared."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sankofa
from sankofa.commands import cli

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def blocks(document: str, language: str, name: str) -> list[str]:
    """The fenced blocks of a Markdown file that are marked "```language name"."""
    text = (ROOT / document).read_text()
    found = re.findall(rf"^( *)```{language} {name}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(indent + block if not block.startswith(indent) else block) for indent, block in found]


def bash(commands: str, folder: Path, seconds: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    """What commands of the README do in `folder`, where `.venv` and `python3` are this Python's."""
    (folder / "bin").mkdir(exist_ok=True)
    for link, target in ((folder / "bin" / "python3", sys.executable), (folder / ".venv", sys.prefix)):
        if not link.is_symlink():
            link.symlink_to(target)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", **variables}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds
    )


@pytest.fixture
def readme_folder(embedded, tmp_path: Path) -> Path:
    """A folder like the reader's, with a service that was started as the README says, but on a free port."""
    (command,) = blocks("README.md", "bash", "serve")
    assert command.split()[1:] == ["serve", "--host", "127.0.0.1", "--port", "8000", "--data-dir", "./sankofa-data", "--workers", "2"]
    folder = tmp_path / "reader"
    folder.mkdir()
    embedded.start(SANKOFA_WORKERS="2")
    (folder / "sankofa-data").symlink_to(embedded.data_dir)
    return folder


def test_the_curl_walk_trains_a_network_and_answers(readme_folder: Path, embedded) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    walk, lesson = blocks("README.md", "bash", "walk") + blocks("README.md", "bash", "lesson")
    address = f"127.0.0.1:{embedded.port}"
    done = bash(walk.replace("127.0.0.1:8000", address), readme_folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == [1, 0]
    assert (readme_folder / "xor.safetensors").stat().st_size > 100
    (job,) = embedded.client().jobs()
    last = job.result()["last"]
    assert last["metrics"]["accuracy"] == 1.0, "it has learned all four rows"
    assert last["loss"] < 0.05
    done = bash(lesson.replace("127.0.0.1:8000", address), readme_folder)
    assert json.loads(done.stdout)["outputs"] == [[1.0]], done.stderr


def test_the_tenants_page_adds_a_tenant_and_its_keys(tmp_path: Path, embedded) -> None:
    (walk,) = blocks("docs/tenants.md", "bash", "tenants")
    client = embedded.start()
    environment = {
        "SANKOFA_URL": client.url,
        "SANKOFA_API_KEY": (embedded.data_dir / "key").read_text().strip(),
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
    }
    done = bash(walk, tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert "tenant acme" in done.stdout
    limits = {name: limit for name, limit in client.tenants.get("acme")["quotas"].items() if limit is not None}
    assert limits == {"running_jobs": 2, "requests_per_minute": 6000, "worker_seconds_per_day": 3600}
    made = {key["name"]: key for key in client.keys.list(tenant="acme")}
    assert made.keys() == {"first", "build"}
    assert made["first"]["last_used_at"]
    assert made["build"]["expires_at"]


def test_the_demo_runs_as_it_is_typed(tmp_path: Path) -> None:
    """Without the installation before it, which needs a network and minutes; `.ci/run` does that in a clean environment."""
    (commands,) = blocks("README.md", "bash", "demo")
    install, demo = commands.rsplit(" && ", 1)
    assert install == "python3 -m venv .venv && .venv/bin/pip install -e ."
    done = bash(demo, tmp_path, 280, XDG_DATA_HOME=str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits.safetensors").stat().st_size > 10_000
    assert "rows it never trained on" in done.stderr
    assert re.search(r"accuracy 0\.9[5-9]", done.stdout)


def test_a_migration_is_made_as_the_readme_says(tmp_path: Path) -> None:
    for name in ("migrations", "alembic.ini"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    (commands,) = blocks("README.md", "bash", "migration")
    done = bash(commands, tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    versions = sorted(path.name for path in (tmp_path / "migrations" / "versions").glob("0*.py"))
    assert versions[:-1] == sorted(path.name for path in (ROOT / "migrations" / "versions").glob("0*.py"))
    made = tmp_path / "migrations" / "versions" / versions[-1]
    assert made.name == f"{len(versions):04d}_what_changes.py"
    assert re.search(r"def upgrade\(\)[^\n]*\n(?:.*\n)*?    pass\n", made.read_text()), "models and migrations agree"


def test_every_command_of_the_readme_resolves() -> None:
    """Those that no test runs install packages (pip, uv: from the network) or run the tests themselves; `.ci/run` does both."""
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "deployment.md").read_text()
    programs = set(re.findall(r"\.venv/bin/(\w+)", text))
    assert programs >= {"pip", "pytest", "sankofa", "alembic"}
    assert [name for name in programs if not (Path(sys.prefix) / "bin" / name).exists()] == []
    typed = re.findall(r"(?:`|^|&& |bin/)sankofa ([a-z-]+)", text, re.MULTILINE)
    assert set(typed) >= {"demo", "serve", "migrate", "worker", "api"}
    assert set(typed) <= set(cli.commands)
    extras = set(re.findall(r"'\.\[(\w+)\]'", text))
    assert extras == {"test", "oracles"}
    assert extras <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@pytest.mark.oracle
def test_weights_behave_in_torch_as_the_readme_says(embedded) -> None:
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load
    (line,) = blocks("README.md", "python", "torch")
    inputs = [[100.0, -3.0], [101.0, -2.0], [103.0, -3.0], [104.0, 5.0]]
    layers = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 1}]
    job = embedded.start().train(layers, {"x": inputs, "y": [0, 1, 1, 0]}, "y", epochs=50, preprocess=[{"type": "standardize"}])
    data = job.wait(60).weights_file()
    model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    model.load_state_dict(load(data))
    (step,) = json.loads(sankofa.safetensors_metadata(data)["sankofa"])["preprocessing"]
    fitted = {name: torch.tensor(numbers) for name, numbers in step["columns"]["x"].items()}
    names: dict[str, Any] = {"model": model, "inputs": torch.tensor(inputs), **fitted}
    exec(line, names)
    np.testing.assert_allclose(names["outputs"].detach().numpy(), job.predict({"x": inputs}).outputs, atol=1e-5)


def test_the_python_walk_runs(readme_folder: Path, embedded) -> None:
    (code,) = blocks("README.md", "python", "client")
    done = subprocess.run(
        [sys.executable, "-c", code.replace("127.0.0.1:8000", f"127.0.0.1:{embedded.port}")],
        cwd=readme_folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(8, 2)", "[1]"]


def test_every_lesson_gives_the_answer_it_shows(embedded) -> None:
    client = embedded.start()
    requests, answers = blocks("docs/lessons.md", "json", "request"), blocks("docs/lessons.md", "json", "answer")
    assert len(requests) == len(answers) == 5
    for request, answer in zip(requests, answers, strict=True):
        body = json.loads(request)
        check_contains(client.evaluate(body["network"]["layers"], body["inputs"]), json.loads(answer))


def check_contains(found: Any, shown: Any) -> None:
    """Everything `shown` is in `found`, numbers within the digits that a document shows."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            check_contains(found[name], value)
    elif isinstance(shown, list):
        assert len(found) == len(shown)
        for one, other in zip(found, shown, strict=True):
            check_contains(one, other)
    elif isinstance(shown, float):
        assert math.isclose(found, shown, abs_tol=1e-6 if shown != int(shown) else 0.0)
    else:
        assert found == shown
