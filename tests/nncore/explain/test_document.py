"""docs/explain.md: its example prints what it shows, and every explanation is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from nncore import explain

DOCUMENT = (Path(__file__).parents[3] / "docs" / "explain.md").read_text()


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_example_prints_what_the_document_shows(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", block("python example")], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout == block("text output")


def test_every_explanation_is_in_the_document() -> None:
    for name in explain.__all__:
        assert name[0].isupper() or f"`{name}`" in DOCUMENT
