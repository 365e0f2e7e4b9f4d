"""What the README and the lessons show is what the service does: their commands are run, their answers compared."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def blocks(document: str, language: str, name: str) -> list[str]:
    """The fenced blocks of a Markdown file that are marked "```language name"."""
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language} {name}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


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
    (readme_folder / "bin").mkdir()
    (readme_folder / "bin" / "python3").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{readme_folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", walk.replace("127.0.0.1:8000", address)],
        cwd=readme_folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == [1, 0]
    assert (readme_folder / "xor.safetensors").stat().st_size > 100
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lesson.replace("127.0.0.1:8000", address)],
        cwd=readme_folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["outputs"] == [[1.0]], done.stderr


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
